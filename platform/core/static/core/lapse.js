/* The time-lapse of a replay: <div data-lapse>. All moments stand in the page (g[data-moment]); a cursor walks over them by
   a button or by the slider. Alerts stay from their moment on; articles are those of the newest moment that has some. */

import { fill } from "./strings.js";

class Lapse {
  constructor(root) {
    this.root = root;
    this.moments = [...root.querySelectorAll("[data-moment]")];
    this.marks = [...root.querySelectorAll("svg [data-at]")];
    this.place = root.querySelector("[data-place]");
    this.button = root.querySelector("[data-toggle]");
    this.speed = root.querySelector("[data-speed]");
    this.now = root.querySelector("[data-now]");
    this.told = root.querySelector("[data-told]");
    this.timer = null;
    this.place.addEventListener("input", () => { this.stop(); this.show(); });
    this.button.addEventListener("click", () => (this.timer ? this.stop() : this.start()));
    this.speed.addEventListener("change", () => { if (this.timer) { this.stop(); this.start(); } });
    this.show();
  }

  get at() { return Number(this.place.value); }
  get last() { return this.moments.length - 1; }

  start() {
    if (this.at >= this.last) this.place.value = 0;
    this.show();
    this.timer = setInterval(() => this.step(), 1000 / Number(this.speed.value));
    this.button.textContent = this.root.dataset.pause;
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = this.root.dataset.play;
  }

  step() {
    if (!this.root.isConnected) return clearInterval(this.timer);
    this.place.value = this.at + 1;
    this.show();
    return this.at >= this.last ? this.stop() : undefined;
  }

  show() {
    this.moments.forEach((each, number) => {
      each.classList.toggle("past", number <= this.at);
      each.classList.toggle("now", number === this.at);
    });
    this.marks.forEach((each) => each.classList.toggle("past", Number(each.dataset.at) <= this.at));
    const { words, every, negative } = this.moments[this.at]?.dataset ?? {};
    this.now.textContent = words ?? "";
    this.told.textContent = every === undefined ? this.root.dataset.nothing : fill(this.root.dataset.counted, { every, negative });
    this.place.setAttribute("aria-valuetext", `${this.now.textContent}. ${this.told.textContent}`);
    this.list("[data-alerts]", (at) => at <= this.at);
    this.list("[data-articles]", (at) => at === this.at);
  }

  list(which, isShown) {
    let shown = 0;
    for (const each of this.root.querySelectorAll(`${which} [data-at]`)) {
      each.hidden = !isShown(Number(each.dataset.at));
      shown += each.hidden ? 0 : 1;
    }
    this.root.querySelector(`${which} [data-none]`).hidden = shown > 0;
  }
}

document.querySelectorAll("[data-lapse]").forEach((root) => new Lapse(root));
