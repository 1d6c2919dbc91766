/** The lower half of the page: what was cleaned, to hear, to look at and to take along. */

import { Problem } from "./api.js";
import { byId, clock } from "./dom.js";
import { Picture, drawAnew, drawScale, topOf } from "./picture.js";
import { Player } from "./player.js";

const LEAST_RATE = 8000; // what every browser takes in an AudioBuffer
const MOST_RATE = 96000;

/** Shows one recording at a time. */
export class Result {
  #clip = null; // { file, rate, made: what the server gave, by strength and format }
  #worker = null; // finds the clip's spectrograms
  #player = new Player(() => this.#showPlaying());
  #pictures = {};
  #topDb = 0;

  /** download(file, query) has the recording cleaned once more, and may throw. */
  constructor(download) {
    this.download = download;
    for (const which of ["before", "after"]) {
      this.#pictures[which] = new Picture(byId(which), which, (seconds) => this.#seek(seconds));
    }
    drawAnew(byId("scale"), () => drawScale(byId("scale"), this.#topDb));
    this.#listen();
  }

  get strength() { return Number(byId("strength").value) / 100; }

  /**
   * Show a recording and what the server made of it, unless the signal comes before both are read;
   * throws a Problem where they cannot be played.
   */
  async show(file, made, original, signal) {
    const rate = Math.max(LEAST_RATE, Math.min(MOST_RATE, made.sampleRate));
    const after = await decode(made.blob, rate);
    let before = after && await decode(file, rate);
    if (after && before?.length !== after.length) before = await decode((await original()).blob, rate);
    if (!before) throw new Problem("The browser cannot play this.", "The recording is empty, or too long for the browser.");
    const copies = { before: await copied(before), after: await copied(after) };
    signal.throwIfAborted();
    this.#clip = { file, rate: made.sampleRate, made: new Map([[key("wav", 1), made]]) };
    this.#player.load(before, after);
    this.#look({ ...copies, sampleRate: rate });
    this.#describe(before);
  }

  /** Be silent. */
  pause() {
    this.#player.pause();
  }

  /** Have the spectrograms found, by a worker of the clip's own: the last clip's may be at work still. */
  #look(clip) {
    for (const picture of Object.values(this.#pictures)) picture.clear();
    this.#worker?.terminate();
    this.#worker = new Worker(new URL("spectrogram-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#showSpectrogram(data);
    const given = [...clip.before, ...clip.after].map((samples) => samples.buffer);
    this.#worker.postMessage({ ...clip, strength: this.strength }, given);
  }

  #describe(before) {
    const count = ["mono", "stereo"][before.numberOfChannels - 1] ?? `${before.numberOfChannels} channels`;
    byId("name").textContent = this.#clip.file.name;
    byId("about").textContent = `${clock(before.duration)}, ${this.#clip.rate / 1000} kHz, ${count}`;
    byId("position").max = before.duration;
    byId("result").hidden = false;
    this.#showPosition();
  }

  #listen() {
    byId("play").addEventListener("click", () => (this.#player.isPlaying ? this.#player.pause() : this.#player.play()));
    byId("position").addEventListener("input", (event) => this.#seek(Number(event.target.value)));
    for (const radio of document.getElementsByName("heard")) {
      radio.addEventListener("change", () => { this.#player.heard = radio.value; });
    }
    byId("strength").addEventListener("input", () => this.#mix());
    byId("strength").addEventListener("change", () => this.#worker.postMessage({ strength: this.strength }));
    byId("download").addEventListener("click", () => this.#take());
    this.#player.heard = document.querySelector("[name=heard]:checked").value; // browsers keep it
    this.#mix();
  }

  #mix() {
    this.#player.strength = this.strength;
    const text = `${byId("strength").value} %`;
    byId("strength-value").textContent = text;
    byId("strength").setAttribute("aria-valuetext", text);
  }

  #seek(seconds) {
    this.#player.seek(seconds);
    this.#showPosition();
    this.#tellPosition();
  }

  #showPlaying() {
    byId("play").classList.toggle("is-playing", this.#player.isPlaying);
    byId("play").setAttribute("aria-label", this.#player.isPlaying ? "Pause" : "Play");
    const turn = () => {
      this.#showPosition();
      if (this.#player.isPlaying) requestAnimationFrame(turn);
    };
    turn();
  }

  #showPosition() {
    const { position, duration } = this.#player;
    byId("position").value = position;
    byId("time").textContent = `${clock(position)} / ${clock(duration)}`;
    // Screen readers would read out a slider that has the focus as it goes along.
    if (!this.#player.isPlaying || document.activeElement !== byId("position")) this.#tellPosition();
    for (const picture of Object.values(this.#pictures)) picture.point(position);
  }

  #tellPosition() {
    const { position, duration } = this.#player;
    byId("position").setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration)}`);
  }

  #showSpectrogram({ which, ...spectrogram }) {
    if (which === "before") this.#topDb = topOf(spectrogram);
    this.#pictures[which].show(spectrogram, this.#player.duration, this.#clip.rate / 2, this.#topDb);
    drawScale(byId("scale"), this.#topDb);
  }

  async #take() {
    byId("error").hidden = true;
    const { file, made } = this.#clip;
    const format = byId("format").value || (/\.wav$/i.test(file.name) ? "wav" : "");
    const wanted = key(format, this.strength);
    if (!made.has(wanted)) {
      const query = { strength: this.strength, ...(format && { format }) };
      const answer = await this.download(file, query);
      if (!answer) return;
      made.set(wanted, answer);
    }
    const { blob, extension } = made.get(wanted);
    save(blob, `${file.name.replace(/\.[^.]*$/, "")}-denoised.${extension}`);
  }
}

const key = (format, strength) => `${format} ${strength}`;

/** A file's samples at a rate, as an AudioBuffer; null where the browser cannot read it. */
async function decode(file, rate) {
  try {
    return await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
}

/** Copies of an AudioBuffer's channels, to be given away; first the page may turn to what waits. */
async function copied(buffer) {
  await new Promise((resolve) => setTimeout(resolve));
  return Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c).slice());
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers begin late
}
