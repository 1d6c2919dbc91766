/** The microphone -> a WAV file, as the microphone gave it. */

import { Problem } from "./api.js";
import { useSoundFor } from "./dom.js";
import { toPcm, toWav } from "./wav.js";

const SILENCE_DB = -60;
const LAST_MS = 1000; // until the last samples have come, unless the sound device has stopped
// A browser's own noise suppression would be cleaned once more; its gain moves in mid-word.
const AS_IT_IS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const REFUSED = {
  NotAllowedError: ["The microphone is not allowed.", "Allow it for this page in the browser's settings."],
  NotFoundError: ["There is no microphone.", "Plug one in, or choose a file."],
  NotReadableError: ["The microphone cannot be used.", "Another program may be using it."],
};

/** Records until `stop` or `discard`. */
export class Recorder {
  #blocks = [];
  #count = 0;
  #whenLast;
  #ended = new AbortController();

  /** hear(seconds, levelDb) is called as it goes on. */
  constructor(stream, context, node, hear) {
    Object.assign(this, { stream, context, node, hear });
    node.port.onmessage = ({ data }) => this.#take(data);
    keepScreenOn(this.#ended.signal);
  }

  /** Ask for the microphone and begin; throws a Problem where there is none. gone(): it was unplugged. */
  static async start(hear, gone) {
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      throw new Problem("This page is not allowed to record.",
        "Browsers allow recording only on pages that come over HTTPS or from this computer (127.0.0.1).");
    }
    useSoundFor("auto"); // iOS gives no microphone to a page that plays
    const stream = await microphone();
    let context = null;
    try {
      context = new AudioContext();
      await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
      const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
      context.createMediaStreamSource(stream).connect(node);
      stream.getAudioTracks()[0].addEventListener("ended", gone);
      context.addEventListener("statechange", () => { // a call interrupts it
        if (!["running", "closed"].includes(context.state)) gone();
      });
      return new Recorder(stream, context, node, hear);
    } catch (error) {
      release(stream, context);
      throw new Problem("The recording could not be started.", `${error.message} Is the server still running?`);
    }
  }

  /** End it, and return what was recorded as a File. */
  async stop() {
    const last = new Promise((resolve) => { this.#whenLast = resolve; });
    this.node.port.postMessage("stop");
    await Promise.race([last, new Promise((resolve) => { setTimeout(resolve, LAST_MS); })]);
    this.#release();
    return new File([toWav(this.#blocks, this.context.sampleRate)], "recording.wav");
  }

  /** End it, and keep nothing. */
  discard() {
    this.#release();
  }

  #release() {
    this.#ended.abort();
    release(this.stream, this.context);
  }

  #take({ samples, isLast }) {
    this.#blocks.push(toPcm([samples]));
    this.#count += samples.length;
    if (isLast) this.#whenLast?.();
    else this.hear(this.#count / this.context.sampleRate, peakDb(samples));
  }
}

async function microphone() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
  } catch (error) {
    const [title, detail] = REFUSED[error.name] ?? ["The microphone cannot be used.", error.message];
    throw new Problem(title, detail);
  }
}

/** Keep the screen on until the signal comes: a phone that locks it ends the recording. */
function keepScreenOn(signal) {
  const ask = async () => {
    const lock = await navigator.wakeLock?.request("screen").catch(() => null);
    if (signal.aborted) lock?.release();
    else signal.addEventListener("abort", () => lock?.release());
  };
  const askAgain = () => document.visibilityState === "visible" && ask(); // a hidden page loses its lock
  document.addEventListener("visibilitychange", askAgain, { signal });
  ask();
}

function release(stream, context) {
  for (const track of stream.getTracks()) track.stop();
  context?.close();
}

function peakDb(samples) {
  const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  return Math.max(SILENCE_DB, 20 * Math.log10(peak));
}
