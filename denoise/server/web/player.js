/** Plays a recording before and after, both at once: two gains decide what is heard. */

import { useSoundFor } from "./dom.js";
import { shares } from "./mix.js";

const FADE_SECONDS = 0.008; // a time constant: no click, and at once to the ear
const IDLE_MS = 300; // until the sound card is let go, which would keep a computer awake

export class Player {
  #makeContext;
  #context = null;
  #buffers = [];
  #gains = [];
  #sources = [];
  #started = 0; // the context's time at which the recording's first sample would have sounded
  #rest = 0; // where it stands while it does not play
  #heard = "after";
  #strength = 1;
  #loops = false;
  #idle = 0; // a timer

  /** Call changed() when it starts and stops. */
  constructor(changed, makeContext = (sampleRate) => new AudioContext({ sampleRate })) {
    this.changed = changed;
    this.#makeContext = makeContext;
  }

  get isPlaying() { return this.#sources.length > 0; }

  get duration() { return this.#buffers.length ? this.#buffers[0].duration : 0; }

  get position() {
    if (!this.isPlaying) return this.#rest;
    const passed = Math.max(0, this.#context.currentTime - this.#started);
    return this.#loops ? passed % this.duration : Math.min(this.duration, passed);
  }

  set heard(heard) {
    this.#heard = heard;
    this.#fade();
  }

  set strength(strength) {
    this.#strength = strength;
    this.#fade();
  }

  /** Whether playing starts again at the end. */
  set loops(loops) {
    const position = this.position;
    this.#loops = loops;
    this.seek(position); // sources that have looped tell nothing of their position
  }

  /** Take two AudioBuffers of one length; the player stands at their start. */
  load(before, after) {
    this.pause();
    this.#buffers = [before, after];
    this.#rest = 0;
    // At another rate each source would be resampled, and some browsers do that by straight lines.
    if (this.#context && this.#context.sampleRate !== before.sampleRate) {
      clearTimeout(this.#idle);
      this.#context.close();
      this.#context = null;
    }
  }

  /** Play on from where it stands, or from the start if that is the end. */
  async play() {
    const buffers = this.#buffers;
    if (this.isPlaying || !buffers.length) return;
    clearTimeout(this.#idle);
    useSoundFor("playback");
    this.#context ??= this.#makeContext(buffers[0].sampleRate);
    if (!await this.#resume()) return;
    if (this.isPlaying || buffers !== this.#buffers) return; // asked for twice, or for another, meanwhile
    if (this.#rest >= this.duration) this.#rest = 0;
    this.#start();
    this.changed();
  }

  /** Have the context run; returns false where the sound device does not start. */
  async #resume() {
    const context = this.#context;
    if (!(context instanceof AudioContext)) return true;
    context.onstatechange = () => { // a call interrupts it
      if (context === this.#context && this.isPlaying && context.state !== "running") this.pause();
    };
    try {
      await context.resume();
      return true;
    } catch {
      context.close().catch(() => {});
      if (context === this.#context) this.#context = null; // the next press makes another
      return false;
    }
  }

  pause() {
    if (!this.isPlaying) return;
    this.#rest = this.position;
    this.#stop();
    this.#leave();
  }

  /** Go to a position, in seconds; playing goes on. */
  seek(seconds) {
    const wasPlaying = this.isPlaying;
    if (wasPlaying) this.#stop();
    this.#rest = Math.min(this.duration, Math.max(0, seconds));
    if (wasPlaying) this.#start();
  }

  #start() {
    const context = this.#context;
    this.#started = context.currentTime - this.#rest;
    this.#gains = [];
    this.#sources = this.#buffers.map((buffer) => {
      const gain = new GainNode(context, { gain: 0 });
      const source = new AudioBufferSourceNode(context, { buffer, loop: this.#loops });
      source.connect(gain).connect(context.destination);
      source.start(context.currentTime, this.#rest);
      this.#gains.push(gain);
      return source;
    });
    const [first] = this.#sources;
    first.onended = () => this.#sources[0] === first && this.#end();
    this.#fade();
  }

  #fade() {
    const targets = shares(this.#heard, this.#strength);
    this.#gains.forEach((gain, i) => gain.gain.setTargetAtTime(targets[i], this.#context.currentTime, FADE_SECONDS));
  }

  #stop() {
    const now = this.#context.currentTime;
    for (const gain of this.#gains) gain.gain.setTargetAtTime(0, now, FADE_SECONDS);
    for (const source of this.#sources) source.stop(now + 8 * FADE_SECONDS);
    this.#sources = [];
    this.#gains = [];
  }

  #end() {
    this.#sources = [];
    this.#gains = [];
    this.#rest = this.duration;
    this.#leave();
  }

  #leave() {
    const context = this.#context;
    if (context instanceof AudioContext) this.#idle = setTimeout(() => context.suspend(), IDLE_MS);
    this.changed();
  }
}
