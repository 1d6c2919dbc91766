/** The result: a recording before and after, to listen to, to look at and to download. */

import { Problem } from "./api.js";
import { decode, isLonger } from "./decode.js";
import { byId, clock, resultName, save } from "./dom.js";
import { MAX_DB } from "./noise-level.js";
import { Picture, drawAnew, drawScale, topOf } from "./picture.js";
import { Player } from "./player.js";
import { WAV_TYPE } from "./wav.js";

const MIN_RATE = 8000; // what every browser takes in an AudioBuffer
const MAX_RATE = 96000;
const HAS_LITTLE_MEMORY = matchMedia("(pointer: coarse)").matches; // a phone
// Half an hour of 48 kHz, or eight minutes: the browser holds each sample four times, in 4 bytes.
const MAX_SAMPLES = HAS_LITTLE_MEMORY ? 2.5e7 : 1e8;
// The server answers in these formats, and in WAV otherwise.
const KEPT = /\.(flac|og[ga]|opus|mp3|aif[fc]?|au|snd|caf|w64|rf64)$|^[^.]*$/i;
const UNPLAYABLE = "It cannot be played in this page. Download it to listen.";
const TOO_LONG = "It is too long to be played in this page. Download it to listen.";

/** The query for a result that every browser plays. */
export const PLAYABLE = { format: "wav" };

/** The recording as the server decodes it; null where that fails, which is no reason to lose the result. */
async function decodedBy(clean, rate, signal) {
  try {
    return await decode((await clean({ ...PLAYABLE, strength: 0 })).blob, rate);
  } catch (error) {
    signal.throwIfAborted();
    if (error.status === 401) throw error;
    return null;
  }
}

/** Shows one recording at a time. */
export class Result {
  #clip = null; // { file, rate, made: what the server gave, by query }
  #worker = null; // finds the clip's spectrograms
  #player = new Player(() => this.#showPlaying());
  #picture = new Picture(byId("picture"), (seconds) => this.#seek(seconds));
  #topDb = 0;

  /** download(file, query) has the recording cleaned once more; it returns null on an error. */
  constructor(download) {
    this.download = download;
    drawAnew(byId("scale"), () => drawScale(byId("scale"), this.#topDb));
    this.#listen();
  }

  get strength() { return Number(byId("strength").value) / 100; }

  /** The query with which to have a file cleaned: that of its download, if it is too long to be played. */
  async queryFor(file, seconds) {
    return await isLonger(file, seconds, MAX_SAMPLES) ? this.#queryOf(file) : PLAYABLE;
  }

  /**
   * Show a recording and what the server made of it for a query, unless the signal comes before both
   * are read; throws a Problem where they cannot be played. clean(query) has the server clean the
   * recording once more: with PLAYABLE where it was taken for longer than it is, and with a strength
   * of 0 for browsers whose decoder gives another number of samples. `hint` stands beside the name.
   */
  async show(file, given, { query = PLAYABLE, clean, signal, title = file.name, hint = "" }) {
    const kept = new Map([[key(query), given]]);
    if (given.count > MAX_SAMPLES) return this.#offer(file, kept, title, TOO_LONG);
    if (!kept.has(key(PLAYABLE))) kept.set(key(PLAYABLE), await clean(PLAYABLE));
    const made = kept.get(key(PLAYABLE));
    const rate = Math.max(MIN_RATE, Math.min(MAX_RATE, made.sampleRate));
    const after = await decode(made.blob, rate);
    let before = after && await decode(file, rate);
    if (after && before?.length !== after.length) before = await decodedBy(clean, rate, signal);
    if (!before && made.count) return this.#offer(file, kept, title, UNPLAYABLE);
    if (!before) throw new Problem("The browser cannot play this.", "The recording is empty, or too long for the browser.");
    const copies = { before: await copied(before), after: await copied(after) };
    signal.throwIfAborted();
    this.#take(file, kept);
    this.#player.load(before, after);
    this.#analyse({ ...copies, sampleRate: rate });
    this.#describe(before, title, hint);
  }

  /** Offer a result that the page cannot play. */
  #offer(file, kept, title, hint) {
    this.#take(file, kept);
    this.#player.pause();
    this.#entitle(title, hint, false);
  }

  #take(file, kept) {
    this.#clip = { file, rate: [...kept.values()][0].sampleRate, made: kept };
  }

  #entitle(title, hint, isPlayable) {
    byId("name").textContent = title;
    byId("hint").textContent = hint;
    byId("player").hidden = !isPlayable;
    byId("result").hidden = false;
  }

  /** Be silent. */
  pause() {
    this.#player.pause();
  }

  /** Have the spectrograms found, by a worker of the clip's own: the last clip's may be at work still. */
  #analyse(clip) {
    this.#picture.clear();
    byId("noise").textContent = "";
    this.#worker?.terminate();
    this.#worker = new Worker(new URL("spectrogram-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => (data.noise ? showNoise(data.noise) : this.#showSpectrogram(data));
    const given = [...clip.before, ...clip.after].map((samples) => samples.buffer);
    this.#worker.postMessage({ ...clip, strength: this.strength }, given);
  }

  #describe(before, title, hint) {
    const count = ["mono", "stereo"][before.numberOfChannels - 1] ?? `${before.numberOfChannels} channels`;
    this.#entitle(title, hint, true);
    byId("about").textContent = `${clock(before.duration)}, ${this.#clip.rate / 1000} kHz, ${count}`;
    byId("position").max = before.duration;
    this.#showPosition();
  }

  #listen() {
    byId("play").addEventListener("click", () => (this.#player.isPlaying ? this.#player.pause() : this.#player.play()));
    byId("loop").addEventListener("click", () => this.#toggleLoop());
    byId("position").addEventListener("input", (event) => this.#seek(Number(event.target.value)));
    for (const radio of document.getElementsByName("heard")) radio.addEventListener("change", () => this.#hear());
    byId("strength").addEventListener("input", () => this.#mix());
    byId("strength").addEventListener("change", () => this.#worker.postMessage({ strength: this.strength }));
    byId("download").addEventListener("click", () => this.#save());
    byId("details").addEventListener("toggle", () => { this.#picture.hasAxes = byId("details").open; });
    this.#picture.hasAxes = byId("details").open;
    this.#hear(); // browsers keep the choice when a page is loaded again
    this.#mix();
  }

  #hear() {
    const { value } = document.querySelector("[name=heard]:checked");
    this.#player.heard = this.#picture.heard = value;
  }

  #mix() {
    this.#player.strength = this.strength;
    const text = `${byId("strength").value} %`;
    byId("strength-value").textContent = text;
    byId("strength").setAttribute("aria-valuetext", text);
  }

  #toggleLoop() {
    const loops = byId("loop").getAttribute("aria-pressed") !== "true";
    byId("loop").setAttribute("aria-pressed", loops);
    this.#player.loops = loops;
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
    this.#picture.point(position);
  }

  #tellPosition() {
    const { position, duration } = this.#player;
    byId("position").setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration)}`);
  }

  #showSpectrogram({ heard, spectrogram }) {
    if (heard === "before") this.#topDb = topOf(spectrogram);
    const extent = { duration: this.#player.duration, hz: this.#clip.rate / 2, topDb: this.#topDb };
    this.#picture.add(heard, spectrogram, extent);
    drawScale(byId("scale"), this.#topDb);
  }

  /** The query for the download of a file. */
  #queryOf(file) {
    const isKept = KEPT.test(file.name) && file.type !== WAV_TYPE; // WAV is what was decoded here, too
    const format = byId("format").value || (isKept ? "" : "wav");
    return { strength: this.strength, ...(format && { format }) };
  }

  async #save() {
    const { file, made } = this.#clip;
    const query = this.#queryOf(file);
    const wanted = key(query);
    if (!made.has(wanted)) {
      const answer = await this.download(file, query);
      if (!answer) return;
      made.set(wanted, answer);
    }
    const { blob, extension } = made.get(wanted);
    save(blob, resultName(file.name, extension));
  }
}

const key = ({ format = "", strength = 1 }) => `${format} ${strength}`;

/** Copies of an AudioBuffer's channels, to be given away; first the page may turn to what waits. */
async function copied(buffer) {
  await new Promise((resolve) => setTimeout(resolve));
  return Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c).slice());
}

/** Say how much lower the noise is, as noiseLevel found it. */
function showNoise({ reductionDb, isSilent }) {
  byId("noise").textContent = isSilent ? "Hardly any noise" : inDecibels(reductionDb);
}

function inDecibels(reductionDb) {
  if (reductionDb === null) return ""; // nobody paused
  const whole = Math.round(reductionDb);
  if (whole >= MAX_DB) return `Noise more than ${MAX_DB} dB lower`;
  return whole < 1 ? "Noise as before" : `Noise ${whole} dB lower`;
}
