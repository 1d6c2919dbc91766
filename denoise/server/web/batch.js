/** Several recordings: a row for each, with its state and its result. */

import { byId, fileSize, resultName, save, saveEach } from "./dom.js";

/** The recordings that were given together; each is cleaned in its turn. */
export class Batch {
  #rows = [];

  /**
   * clean(file, prefix, signal) has a file cleaned, told with a prefix; open(file) shows it in the
   * player; resume() calls run() again.
   */
  constructor({ clean, open, resume }) {
    Object.assign(this, { clean, open });
    byId("clean-rest").addEventListener("click", resume);
    byId("download-all").addEventListener("click", () => this.#saveAll());
  }

  /** Show a row for each file, in place of the rows before. */
  load(files) {
    this.#rows = files.map((file) => new Row(file, () => this.open(file)));
    byId("rows").replaceChildren(...this.#rows.map((row) => row.element));
    byId("batch").hidden = false;
    this.#count();
  }

  /** Hold the buttons that play a result: cleaning it for the player would end what is under way. */
  hold(isHeld) {
    for (const row of this.#rows) row.hold(isHeld);
    byId("clean-rest").disabled = isHeld;
  }

  /** Show no rows. */
  clear() {
    this.#rows = [];
    byId("batch").hidden = true;
  }

  /**
   * Clean every recording that is not cleaned yet. What cannot be cleaned is told in its row, and
   * the next follows; only a token that is missing, or the signal, ends it: that is thrown. Then,
   * or where a failure may pass, a button offers to clean the rest.
   */
  async run(signal) {
    const rows = this.#rows; // other files that are dropped meanwhile replace them
    for (const row of rows) row.wait();
    byId("clean-rest").hidden = true;
    try {
      for (const row of rows.filter(({ isDone }) => !isDone)) {
        await this.#runOne(row, signal);
        this.#count();
      }
    } finally {
      for (const row of rows) row.stop();
      if (rows === this.#rows) byId("clean-rest").hidden = rows.every(({ isDone }) => isDone);
    }
    return rows;
  }

  async #runOne(row, signal) {
    const place = `${1 + this.#rows.indexOf(row)} of ${this.#rows.length}: `;
    row.begin();
    try {
      row.take(await this.clean(row.file, place, signal));
    } catch (error) {
      if (signal.aborted || error.status === 401) throw error;
      row.fail(error);
    }
  }

  get made() { return this.#rows.filter(({ made }) => made); }

  #count() {
    const failed = this.#rows.filter(({ hasFailed }) => hasFailed).length;
    const text = `${this.made.length} of ${this.#rows.length} cleaned`;
    byId("batch-title").textContent = failed ? `${text}, ${failed} failed` : text;
    byId("download-all").disabled = this.made.length === 0;
  }

  #saveAll() {
    const names = new Set();
    return saveEach(this.made, (row) => row.save(names));
  }
}

class Row {
  isDone = false; // cleaned, or a failure that does not pass
  hasFailed = false;
  made = null; // what the server gave
  #state = node("span", { className: "state", textContent: "Waiting" });
  #listen = node("button", { type: "button", textContent: "Listen", hidden: true });
  #save = node("button", { type: "button", textContent: "Download", hidden: true });

  constructor(file, listen) {
    this.file = file;
    const name = node("span", { className: "file-name", textContent: file.name });
    this.#listen.setAttribute("aria-label", `Listen to ${file.name}`);
    this.#save.setAttribute("aria-label", `Download ${file.name}`);
    this.#listen.addEventListener("click", listen);
    this.#save.addEventListener("click", () => this.save());
    this.element = node("li", {});
    this.element.append(name, this.#state, this.#listen, this.#save);
  }

  hold(isHeld) {
    this.#listen.disabled = isHeld;
  }

  /** Its turn is to come. */
  wait() {
    this.hold(true);
    if (this.isDone) return;
    this.hasFailed = false;
    this.#state.classList.remove("is-failed");
    this.#state.textContent = "Waiting";
  }

  begin() {
    this.#state.textContent = "Cleaning";
  }

  take(made) {
    this.made = made;
    this.isDone = true;
    this.#state.textContent = `Cleaned, ${fileSize(made.blob.size)}`;
    this.#listen.hidden = this.#save.hidden = false;
  }

  fail(error) {
    this.isDone = !error.mayPass;
    this.hasFailed = true;
    this.#state.textContent = `${error.title ?? ""} ${error.message}`.trim();
    this.#state.classList.add("is-failed");
  }

  /** The work has ended, whether or not this row's turn came. */
  stop() {
    this.hold(false);
    if (!this.isDone && !this.hasFailed) this.#state.textContent = "Not cleaned";
  }

  /** Let the browser save the result, under a name that is not among those given. */
  save(names = new Set()) {
    const { blob, extension } = this.made;
    let name = resultName(this.file.name, extension);
    for (let n = 2; names.has(name); n += 1) {
      name = resultName(this.file.name, extension).replace(/(\.[^.]*)$/, ` (${n})$1`);
    }
    names.add(name);
    save(blob, name);
  }
}

const node = (tag, properties) => Object.assign(document.createElement(tag), properties);
