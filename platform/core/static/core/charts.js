/* Charts: <div class="chart" data-chart="line|bar|heatmap|reliability|histogram" data-chart-json='{...}'
     [data-chart-title="Loss"] [data-chart-url="/metrics"] [data-chart-every="2"]>
   The shapes of the JSON stand in chart_options.js and docs/ui.md. With a URL the chart loads from it; a line chart asks
   again every few seconds with ?since=<x> and appends, until the answer says "ended": true. Every chart can be hovered,
   shown as a table, and downloaded as PNG or CSV; colours follow the theme. ECharts is loaded when the first chart is seen. */

import { optionsOf, tableOf } from "./chart_options.js";
import { palette } from "./chart_colours.js";
import { strings } from "./strings.js";

const charts = new Set();
let loading = null;

function echarts() {
  loading ??= new Promise((ready, fail) => {
    const script = document.createElement("script");
    script.src = strings.echarts;
    script.onload = () => ready(window.echarts);
    script.onerror = () => fail(new Error("echarts"));
    document.head.append(script);
  });
  return loading;
}

function button(words, click) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.addEventListener("click", () => click(made));
  return made;
}

class Chart {
  constructor(element) {
    this.element = element;
    this.kind = element.dataset.chart;
    this.title = element.dataset.chartTitle ?? "";
    this.data = element.dataset.chartJson ? JSON.parse(element.dataset.chartJson) : null;
    this.view = { log: Boolean(this.data?.log), smooth: 0 };
    this.tools = element.appendChild(document.createElement("div"));
    this.tools.className = "chart-tools";
    this.canvas = element.appendChild(document.createElement("div"));
    this.canvas.className = "chart-canvas";
    this.canvas.setAttribute("role", "img");
    this.table = element.appendChild(document.createElement("div"));
    this.table.className = "chart-table";
    this.table.hidden = true;
    this.fillTools();
  }

  fillTools() {
    if (this.kind === "line") {
      const label = document.createElement("label");
      const range = document.createElement("input");
      Object.assign(range, { type: "range", min: 0, max: 0.95, step: 0.05, value: 0 });
      range.addEventListener("input", () => {
        this.view.smooth = Number(range.value);
        this.draw();
      });
      label.append(strings.smooth, range);
      const log = button(strings.log, () => {
        this.view.log = !this.view.log;
        log.setAttribute("aria-pressed", String(this.view.log));
        this.draw();
      });
      log.setAttribute("aria-pressed", String(this.view.log));
      this.tools.append(label, log);
    }
    const table = button(strings.table, () => {
      this.table.hidden = !this.table.hidden;
      table.setAttribute("aria-pressed", String(!this.table.hidden));
      if (!this.table.hidden) this.fillTable();
    });
    table.setAttribute("aria-pressed", "false");
    this.tools.append(table, button(strings.png, () => this.png()), button(strings.csv, () => this.csv()));
  }

  async start() {
    try {
      if (!this.data && this.element.dataset.chartUrl) this.data = await this.ask();
      await this.draw();
    } catch {
      this.note(strings.chartFailed);
      return;
    }
    if (this.element.dataset.chartUrl && !this.data?.ended && this.kind === "line") this.poll();
  }

  async ask(since) {
    const url = new URL(this.element.dataset.chartUrl, location);
    if (since !== undefined) url.searchParams.set("since", since);
    const answer = await fetch(url, { headers: { Accept: "application/json", "X-Workspace": strings.workspace ?? "" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  }

  poll() {
    const every = 1000 * Number(this.element.dataset.chartEvery || 2);
    let wait = every;
    const next = async () => {
      if (!this.element.isConnected) return charts.delete(this);
      if (document.hidden) return setTimeout(next, every);
      try {
        this.merge(await this.ask(this.data?.since ?? this.lastX()));
        wait = every;
        await this.draw();
      } catch {
        wait = Math.min(30000, wait * 2);
      }
      return this.data?.ended ? undefined : setTimeout(next, wait);
    };
    setTimeout(next, every);
  }

  lastX() {
    const xs = (this.data?.series ?? []).map((series) => series.points.at(-1)?.[0] ?? 0);
    return xs.length ? Math.max(...xs) : 0;
  }

  merge(news) {
    this.data ??= { series: [] };
    for (const fresh of news.series ?? []) {
      const old = this.data.series.find((series) => series.name === fresh.name);
      if (!old) {
        this.data.series.push(fresh);
        continue;
      }
      const last = old.points.at(-1)?.[0] ?? -Infinity;
      old.points.push(...fresh.points.filter(([x]) => x > last));
    }
    this.data.since = news.since ?? undefined;
    this.data.ended = Boolean(news.ended);
  }

  async draw() {
    const rows = this.data ? tableOf(this.kind, this.data, strings).rows : [];
    this.canvas.setAttribute("aria-label", `${this.title} (${rows.length})`);
    if (!rows.length) return this.note(strings.noData);
    const library = await echarts();
    if (!this.chart) {
      this.canvas.replaceChildren();
      const rowCount = this.kind === "heatmap" ? this.data.rows.length : this.data.horizontal ? this.data.categories.length : 0;
      if (rowCount) this.canvas.style.height = `${Math.max(18, Math.min(70, 6 + rowCount * 1.4))}rem`;
      this.chart = library.init(this.canvas, null, { renderer: "canvas" });
      this.chart.on("click", ({ seriesName, value, dataIndex }) => this.follow(seriesName, value?.[0] ?? dataIndex));
      new ResizeObserver(() => this.chart.resize()).observe(this.canvas);
    }
    const width = this.canvas.clientWidth;
    this.chart.setOption(optionsOf(this.kind, this.data, { ...this.view, width, title: this.title }, palette(), strings), { notMerge: true });
    if (!this.table.hidden) this.fillTable();
    return undefined;
  }

  /* a point of a series that has an address leads to what it counts */
  follow(name, x) {
    const url = this.data?.series?.find((series) => series.name === name)?.url;
    const place = this.data?.places?.[x];
    if (url && place) location.assign(url.replace("{place}", encodeURIComponent(place)));
  }

  note(words) {
    const made = document.createElement("p");
    made.className = "chart-note";
    made.textContent = words;
    if (!this.chart) this.canvas.replaceChildren(made);
  }

  fillTable() {
    const { head, rows } = tableOf(this.kind, this.data, strings);
    const table = document.createElement("table");
    table.className = "table";
    const first = table.createTHead().insertRow();
    for (const words of head) first.appendChild(Object.assign(document.createElement("th"), { textContent: words, scope: "col" }));
    const body = table.createTBody();
    for (const row of rows.slice(0, 2000)) {
      const line = body.insertRow();
      for (const value of row) line.insertCell().textContent = value ?? "";
    }
    this.table.replaceChildren(table);
  }

  save(url, ending) {
    const name = (this.title || this.kind).toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
    Object.assign(document.createElement("a"), { href: url, download: `${name}.${ending}` }).click();
  }

  png() {
    if (this.chart) this.save(this.chart.getDataURL({ pixelRatio: 2, backgroundColor: palette().surface }), "png");
  }

  csv() {
    const { head, rows } = tableOf(this.kind, this.data ?? {}, strings);
    const cell = (value) => (/[",\n\r]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
    const text = [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
    const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
    this.save(url, "csv");
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}

export function bindCharts(root) {
  const found = root.matches?.("[data-chart]") ? [root] : root.querySelectorAll("[data-chart]");
  for (const element of found) {
    if (element.dataset.bound !== undefined) continue;
    element.dataset.bound = "";
    const chart = new Chart(element);
    charts.add(chart);
    chart.start();
  }
}

document.addEventListener("lingxi:theme", () => {
  for (const chart of charts) if (chart.chart) chart.draw();
});
