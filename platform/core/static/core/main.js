/* Starts every behaviour once per page. Each module says on top which data- attribute binds it. */

import "./theme.js";
import "./drawer.js";
import "./toasts.js";
import "./requests.js";
import "./confirm.js";
import "./copy.js";
import "./hotkeys.js";
import "./bulk.js";
import "./heat.js";
import { bindCharts } from "./charts.js";
import { bindDrops } from "./drop.js";
import { bindProgress } from "./progress.js";
import { bindRelative } from "./relative.js";
import { bindShown } from "./shown.js";
import { bindSortable } from "./sortable.js";
import { bindTables } from "./tables.js";
import { bindTabs } from "./tabs.js";

function bind(root) {
  bindTables(root);
  bindSortable(root);
  bindShown(root);
  bindTabs(root);
  bindRelative(root);
  bindDrops(root);
  bindProgress(root);
  bindCharts(root);
}

bind(document);
document.addEventListener("htmx:load", (event) => bind(event.target));
document.documentElement.dataset.ready = "true";
