/** How long cleaning will take, from how long it took before. */

const MIN_SECONDS = 20; // shorter recordings say more about the network than about the server
const MIN_SHARE = 0.03; // less says little about the rest
const METADATA_MS = 2000;

const durations = new WeakMap(); // promises, by file

let secondsPerSecond = 0.03; // of work for one second of sound, until a recording has shown it

/** Follows one recording, and estimates how long it may still take. */
export class Pace {
  #started = null; // when the cleaning began

  /** audioSeconds is the recording's duration, or null if it is not known. */
  constructor(audioSeconds) {
    this.audioSeconds = audioSeconds;
  }

  /** Take note of the phase that the work is in; at the end of the cleaning, learn from it. */
  follow(phase) {
    if (phase === "cleaning") this.#started ??= performance.now();
    else if (phase === "receiving" && this.#started !== null) this.#learn();
    else if (phase === "waiting") this.#started = null; // the server has not begun
  }

  #learn() {
    if (this.audioSeconds >= MIN_SECONDS) secondsPerSecond = this.#passed() / this.audioSeconds;
    this.#started = null;
  }

  #passed() {
    return this.#started === null ? 0 : (performance.now() - this.#started) / 1000;
  }

  /** What `tell` takes: the seconds that are `left` once a share is done, or all that are `expected`. */
  estimate(share) {
    if (share > MIN_SHARE) return { left: (this.#passed() * (1 - share)) / share };
    return { expected: this.audioSeconds === null ? null : secondsPerSecond * this.audioSeconds };
  }
}

/** The duration of a file in seconds; null where the browser cannot tell it. */
export function durationOf(file) {
  if (!durations.has(file)) durations.set(file, measure(file));
  return durations.get(file);
}

function measure(file) {
  return new Promise((resolve) => {
    const audio = new Audio();
    const end = (seconds) => {
      URL.revokeObjectURL(audio.src);
      resolve(Number.isFinite(seconds) ? seconds : null);
    };
    audio.preload = "metadata";
    audio.onloadedmetadata = () => end(audio.duration);
    audio.onerror = () => end(null);
    setTimeout(() => end(null), METADATA_MS);
    audio.src = URL.createObjectURL(file);
  });
}
