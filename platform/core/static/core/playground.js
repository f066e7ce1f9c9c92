/* The playground: <div data-playground>. Each talk keeps what was said on its side; an answer comes as server-sent events
   from its first character on, so a line that breaks is simply read again. */

import { cookie, fill } from "./strings.js";

const root = document.querySelector("[data-playground]");

class Talk {
  constructor(element) {
    this.element = element;
    this.said = element.querySelector("[data-said]");
    this.version = element.querySelector("[data-version]");
    this.state = element.querySelector("[data-state]");
    this.figures = element.querySelector("[data-figures]");
    this.messages = [];
    this.source = null;
    this.id = null;
  }

  get isOpen() { return !this.element.hidden; }
  get isBusy() { return this.source !== null; }

  clear() {
    this.stop();
    this.messages = [];
    this.said.querySelectorAll("article").forEach((each) => each.remove());
    this.said.querySelector("[data-nothing]").hidden = false;
    this.figures.textContent = this.state.textContent = "";
  }

  add(role, name, text) {
    this.said.querySelector("[data-nothing]").hidden = true;
    const article = document.createElement("article");
    article.className = role;
    const who = document.createElement("h3");
    who.textContent = name;
    const body = document.createElement("div");
    body.className = "text";
    body.dir = "auto";
    body.textContent = text;
    article.append(who, body);
    this.said.append(article);
    this.said.scrollTop = this.said.scrollHeight;
    return body;
  }

  async ask(text, options, onEnd) {
    this.messages.push({ role: "user", content: text });
    this.add("user", root.dataset.you, text);
    const form = new FormData(options.form);
    form.set("model_version", this.version.value);
    const system = options.system ? [{ role: "system", content: options.system }] : [];
    form.set("messages", JSON.stringify([...system, ...this.messages]));
    const body = this.add("assistant", this.version.selectedOptions[0].textContent, "");
    this.tell(root.dataset.waiting);
    this.figures.textContent = "";
    let answer;
    try {
      const response = await fetch(root.dataset.ask, { method: "POST", body: form, headers: { "X-CSRFToken": cookie("csrftoken") || options.token } });
      answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
    } catch (error) {
      this.takeBack(body);
      this.tell("");
      onEnd(error.message);
      return;
    }
    this.id = answer.id;
    this.follow(body, onEnd);
  }

  follow(body, onEnd) {
    let written = "";
    let shown = 0;
    const base = root.dataset.ask.replace(/ask$/, "");
    this.source = new EventSource(`${base}${this.id}/events`);
    this.source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (event.type === "piece") {
        const fresh = event.text.slice(Math.max(0, written.length - event.begin));
        written += fresh;
        this.tell(root.dataset.writing);
        const isLow = this.said.scrollHeight - this.said.scrollTop - this.said.clientHeight < 40;
        if (event.tokens) shown += this.tokens(body, event.tokens.slice(Math.max(0, shown - event.first)));
        else body.append(fresh);
        if (isLow) this.said.scrollTop = this.said.scrollHeight;
      } else if (event.type === "ended") {
        this.finish = event.finish;
      } else if (event.type === "over") {
        this.end(event, written, body, onEnd);
      }
    };
    this.source.onerror = () => {
      if (this.source?.readyState === EventSource.CLOSED) {
        this.close();
        this.tell(root.dataset.failed);
        onEnd(root.dataset.lost);
      }
    };
  }

  tokens(body, tokens) {
    for (const [, text, logprob, top] of tokens) {
      const sure = Math.exp(logprob);
      const token = document.createElement("span");
      token.className = "token";
      token.tabIndex = 0;
      token.style.setProperty("--w", (1 - sure).toFixed(3));
      token.textContent = text;
      const others = top.map(([, other, value]) => `${JSON.stringify(other)} ${(100 * Math.exp(value)).toFixed(1)} %`);
      token.title = [`${root.dataset.sure} ${(100 * sure).toFixed(1)} %`, ...others].join("\n");
      body.append(token);
    }
    return tokens.length;
  }

  end(event, written, body, onEnd) {
    this.close();
    const stopped = event.state === "cancelled" ? root.dataset.stopped : "";
    this.tell(event.state === "failed" ? root.dataset.failed : stopped || (this.finish === "length" ? root.dataset.length : ""));
    const figures = [fill(root.dataset.counts, { prompt: event.prompt_tokens, cached: event.cached_tokens, answer: event.answer_tokens })];
    if (event.by) figures.unshift(fill(root.dataset.by, { version: event.by }));
    if (event.first !== null) figures.push(fill(root.dataset.first, { seconds: event.first.toFixed(2) }));
    if (event.rate !== null) figures.push(fill(root.dataset.rate, { rate: event.rate.toFixed(0) }));
    if (event.state === "failed") {
      this.takeBack(body);
    } else {
      this.messages.push({ role: "assistant", content: written });
      this.figures.textContent = figures.join(" · ");
      if (written) this.offerFeedback(body);
    }
    onEnd(event.error);
  }

  offerFeedback(body) {
    const slot = document.createElement("div");
    body.after(slot);
    const url = root.dataset.feedback.replace("generation-0", `generation-${this.id}`);
    window.htmx.ajax("GET", url, { target: slot, swap: "outerHTML" });
  }

  takeBack(body) {
    this.messages.pop();
    const article = body.closest("article");
    article.previousElementSibling.remove();
    article.remove();
  }

  tell(text) { this.state.textContent = text; }

  close() {
    this.source?.close();
    this.source = null;
  }

  stop() {
    if (!this.isBusy) return;
    const base = root.dataset.ask.replace(/ask$/, "");
    fetch(`${base}${this.id}/stop`, { method: "POST", headers: { "X-CSRFToken": cookie("csrftoken") || token() } });
  }
}

function token() { return root.querySelector("[name=csrfmiddlewaretoken]").value; }

function start() {
  const talks = [...root.querySelectorAll("[data-talk]")].map((element) => new Talk(element));
  const names = JSON.parse(root.dataset.names);
  const composer = root.querySelector("[data-composer]");
  const text = composer.querySelector("[data-text]");
  const send = composer.querySelector("[data-send]");
  const stop = composer.querySelector("[data-stop]");
  const problem = composer.querySelector("[data-error]");
  const form = root.querySelector("[data-options]");
  const second = document.querySelector("[data-play-second]");

  const busy = () => talks.some((talk) => talk.isOpen && talk.isBusy);
  const refresh = () => { send.disabled = busy(); stop.hidden = !busy(); };
  let asked = "";
  const ended = (error) => {
    if (error) {
      problem.textContent = error;
      problem.hidden = false;
      text.value ||= asked;
    }
    refresh();
    if (!busy()) text.focus({ preventScroll: true });
  };

  async function ask() {
    const said = text.value.trim();
    if (!said || busy() || !form.reportValidity()) return;
    problem.hidden = true;
    send.disabled = true;
    const system = form.querySelector("[data-system]").value.trim();
    const options = { form, system, token: token() };
    asked = said;
    text.value = "";
    await Promise.all(talks.filter((talk) => talk.isOpen).map((talk) => talk.ask(said, options, ended)));
    refresh();
    code();
  }

  function code() {
    const talk = talks[0];
    const value = (name) => form.querySelector(`[name=${name}]`)?.value ?? "";
    const system = form.querySelector("[data-system]").value.trim();
    const spoken = talk.messages.length ? talk.messages : [{ role: "user", content: text.value || "…" }];
    const last = spoken.at(-1).role === "assistant" ? spoken.slice(0, -1) : spoken;
    const body = {
      model: names[talk.version.value],
      messages: [...(system ? [{ role: "system", content: system }] : []), ...last],
      temperature: Number(value("temperature")), top_p: Number(value("top_p")), max_tokens: Number(value("max_tokens")),
    };
    if (value("seed")) body.seed = Number(value("seed"));
    const stops = value("stop").split("\n").filter(Boolean);
    if (stops.length) body.stop = stops;
    const extra = {};
    if (Number(value("top_k"))) extra.top_k = Number(value("top_k"));
    if (Number(value("repetition_penalty")) !== 1) extra.repetition_penalty = Number(value("repetition_penalty"));
    const whole = JSON.stringify({ ...body, ...extra, stream: true }, null, 2).replaceAll("'", "'\\''");
    root.querySelector("#play-curl").textContent =
      `curl -N ${root.dataset.address}/chat/completions \\\n  -H "Authorization: Bearer $LINGXI_KEY" -H "Content-Type: application/json" \\\n  -d '${whole}'`;
    const named = Object.entries(body).map(([name, each]) => `    ${name}=${JSON.stringify(each)},`);
    if (Object.keys(extra).length) named.push(`    extra_body=${JSON.stringify(extra)},`);
    root.querySelector("#play-python").textContent = [
      "import os", "", "from openai import OpenAI", "",
      `client = OpenAI(base_url="${root.dataset.address}", api_key=os.environ["LINGXI_KEY"])`,
      "stream = client.chat.completions.create(", ...named, "    stream=True,", ")",
      "for chunk in stream:", '    print(chunk.choices[0].delta.content or "", end="", flush=True)',
    ].join("\n");
  }

  composer.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
  });
  stop.addEventListener("click", () => talks.forEach((talk) => talk.stop()));
  document.querySelector("[data-play-clear]").addEventListener("click", () => { talks.forEach((talk) => talk.clear()); problem.hidden = true; code(); text.focus(); });
  second.addEventListener("click", () => {
    talks[1].element.hidden = !talks[1].element.hidden;
    second.setAttribute("aria-pressed", String(talks[1].isOpen));
    root.classList.toggle("two", talks[1].isOpen);
    if (talks[1].isOpen && talks[1].version.value === talks[0].version.value) {
      talks[1].version.selectedIndex = Math.min(talks[0].version.selectedIndex + 1, talks[1].version.length - 1);
    }
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  root.addEventListener("input", code);
  root.addEventListener("change", code);
  code();
  text.focus();
}

if (root) start();
