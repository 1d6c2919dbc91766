/** The lower half of the page: what was cleaned, to hear, to look at and to take along. */

import { Problem } from "./api.js";
import { byId, clock } from "./dom.js";
import { Picture, drawScale, topOf } from "./picture.js";
import { Player } from "./player.js";

const LEAST_RATE = 8000; // what every browser takes in an AudioBuffer
const MOST_RATE = 96000;

/** Shows one recording at a time. */
export class Result {
  #clip = null; // { id, file, duration, made: what the server gave, by strength and format }
  #worker = new Worker(new URL("spectrogram-worker.js", import.meta.url), { type: "module" });
  #player = new Player(() => this.#showPlaying());
  #pictures = {};
  #topDb = 0;

  /** download(file, query) has the recording cleaned once more, and may throw. */
  constructor(download) {
    this.download = download;
    for (const which of ["before", "after"]) {
      this.#pictures[which] = new Picture(byId(which), which, (seconds) => this.#seek(seconds));
    }
    this.#worker.onmessage = ({ data }) => this.#showSpectrogram(data);
    new ResizeObserver(() => drawScale(byId("scale"), this.#topDb)).observe(byId("scale"));
    this.#listen();
  }

  get strength() { return Number(byId("strength").value) / 100; }

  /** Show a recording and what the server made of it; throws a Problem where it cannot be played. */
  async show(file, made, original) {
    const rate = Math.max(LEAST_RATE, Math.min(MOST_RATE, made.sampleRate));
    const after = await decode(made.blob, rate);
    if (!after) throw new Problem("The browser cannot play this.", "The recording is empty, or too long for it.");
    let before = await decode(file, rate);
    if (before?.length !== after.length) before = await decode((await original()).blob, rate);
    this.#clip = { id: (this.#clip?.id ?? 0) + 1, file, made: new Map([[key("wav", 1), made]]) };
    this.#player.load(before, after);
    this.#worker.postMessage({
      id: this.#clip.id, before: mono(before), after: mono(after), sampleRate: rate, strength: this.strength,
    });
    this.#describe(before, made.sampleRate);
  }

  #describe(before, rate) {
    const channels = ["mono", "stereo"][before.numberOfChannels - 1] ?? `${before.numberOfChannels} channels`;
    byId("name").textContent = this.#clip.file.name;
    byId("about").textContent = `${clock(before.duration)}, ${rate / 1000} kHz, ${channels}`;
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
    byId("position").setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration)}`);
    byId("time").textContent = `${clock(position)} / ${clock(duration)}`;
    for (const picture of Object.values(this.#pictures)) picture.point(position);
  }

  #showSpectrogram({ which, clip, ...spectrogram }) {
    if (clip !== this.#clip.id) return; // of the recording before this one
    if (which === "before") this.#topDb = topOf(spectrogram);
    this.#pictures[which].show(spectrogram, this.#player.duration, this.#topDb);
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

/** The mean of an AudioBuffer's channels, Float32Array. */
function mono(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  return Float32Array.from(channels[0], (_, i) => channels.reduce((sum, samples) => sum + samples[i], 0) / channels.length);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers begin late
}
