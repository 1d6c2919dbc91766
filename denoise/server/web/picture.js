/** A spectrogram on a canvas: of what is heard, with a cursor at the position, and with axes if wanted. */

import { clock } from "./dom.js";

const RANGE_DB = 80;
const MAX_HZ = 12000; // the picture ends here: speech has little above
const MARGIN = { left: 40, right: 8, top: 4, bottom: 20 }; // for the axes, in CSS pixels
const NO_MARGIN = { left: 0, right: 0, top: 0, bottom: 0 };
const LETTERS = "12px system-ui, sans-serif";
const MIN_TOP_DB = -40; // where all is quieter, or silent, the pictures are dark
const TIME_STEPS = [30, 60, 120, 300, 600]; // seconds
const THEMES = ["(prefers-color-scheme: dark)", "(forced-colors: active)"];
const COLOURS = [[5, 6, 15], [43, 26, 94], [154, 44, 111], [238, 122, 58], [255, 244, 184]];

/** The colour of a level from 0 (the scale's bottom) to 1 (its top): [red, green, blue]. */
export function colour(level) {
  const place = Math.max(0, Math.min(1, level)) * (COLOURS.length - 1);
  const low = Math.min(COLOURS.length - 2, Math.floor(place));
  return COLOURS[low].map((from, i) => Math.round(from + (place - low) * (COLOURS[low + 1][i] - from)));
}

const SHADES = new Uint32Array( // the colours as an image's bytes have them, from the bottom to the top
  Uint8Array.from(Array.from({ length: 256 }, (_, i) => [...colour(i / 255), 255]).flat()).buffer,
);

/** The scale's top for a spectrogram: a multiple of 10 dB. */
export function topOf({ db }) {
  const most = db.reduce((most, value) => Math.max(most, value), MIN_TOP_DB);
  return 10 * Math.ceil(most / 10);
}

/** Steps of 1, 2 or 5 times a power of ten, such that about `count` of them make `length`. */
function stepFor(length, count) {
  const rough = length / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

/** Such steps in seconds; where they are long, they make whole minutes. */
function timeStepFor(duration, count) {
  const rough = duration / Math.max(1, count);
  if (rough <= 20) return stepFor(duration, count);
  return TIME_STEPS.find((step) => step >= rough) ?? 600 * stepFor(duration / 600, count);
}

/** Call draw() whenever a canvas, the screen's pixels or the page's colours have changed. */
export function drawAnew(canvas, draw) {
  new ResizeObserver(draw).observe(canvas);
  addEventListener("resize", draw); // so it is called on zooming, where the canvas may keep its size
  for (const theme of THEMES) matchMedia(theme).addEventListener("change", draw);
}

/** Make a canvas as sharp as the screen; return what to draw on it with, in CSS pixels. */
function sharpen(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const pixels = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * pixels);
  canvas.height = Math.round(height * pixels);
  const pen = canvas.getContext("2d");
  pen.scale(pixels, pixels);
  pen.font = LETTERS;
  pen.fillStyle = pen.strokeStyle = getComputedStyle(canvas).color;
  return { pen, width, height };
}

/** A canvas that shows one of a recording's spectrograms. */
export class Picture {
  #images = new Map(); // of each spectrogram alone, a pixel a value, by what is heard
  #drawn = document.createElement("canvas"); // all but the cursor
  #heard = "after";
  #hasAxes = false;
  #extent = null; // { duration, hz, topDb }
  #seconds = 0; // where the cursor is

  /** seek(seconds) is called for a click, or a drag, on the picture. */
  constructor(canvas, seek) {
    this.canvas = canvas;
    const go = (event) => this.#extent && seek(this.#secondsAt(event.offsetX));
    const isFinger = (event) => event.pointerType === "touch";
    canvas.addEventListener("pointerdown", (event) => event.button === 0 && !isFinger(event) && go(event));
    canvas.addEventListener("pointermove", (event) => event.buttons === 1 && !isFinger(event) && go(event));
    canvas.addEventListener("pointerup", (event) => isFinger(event) && go(event)); // one that scrolls is cancelled
    drawAnew(canvas, () => this.#draw());
  }

  /** Which spectrogram is shown: before, after or removed. */
  set heard(heard) {
    this.#heard = heard;
    this.#draw();
  }

  /** Whether axes are drawn. */
  set hasAxes(hasAxes) {
    this.#hasAxes = hasAxes;
    this.#draw();
  }

  /** Show nothing until there is something to show. */
  clear() {
    this.#images.clear();
    this.#extent = null;
    this.canvas.width = this.canvas.width; // which empties it
    this.#name();
  }

  /** Take one of the spectrograms; the extent has the duration, the highest frequency and the scale's top. */
  add(heard, spectrogram, { duration, hz, topDb }) {
    this.#extent = { duration, topDb, hz: Math.min(MAX_HZ, hz, spectrogram.topHz) };
    this.#images.set(heard, paint(spectrogram, this.#extent));
    this.#draw();
  }

  /** Draw the cursor at a position in seconds. */
  point(seconds) {
    this.#seconds = seconds;
    if (!this.#images.has(this.#heard) || !this.#drawn.width) return;
    const pen = this.canvas.getContext("2d");
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.#drawn, 0, 0);
    pen.restore();
    const { x, y, width, height } = this.#frame();
    const at = x + (width * seconds) / this.#extent.duration;
    for (const [thickness, style] of [[4, "#000"], [2, "#fff"]]) {
      pen.lineWidth = thickness;
      pen.strokeStyle = style;
      pen.beginPath();
      pen.moveTo(at, y);
      pen.lineTo(at, y + height);
      pen.stroke();
    }
  }

  #frame() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const { left, right, top, bottom } = this.#hasAxes ? MARGIN : NO_MARGIN;
    return { x: left, y: top, width: Math.max(1, width - left - right), height: height - top - bottom };
  }

  #secondsAt(offset) {
    const { x, width } = this.#frame();
    return this.#extent.duration * Math.max(0, Math.min(1, (offset - x) / width));
  }

  #draw() {
    this.#name();
    const image = this.#images.get(this.#heard);
    if (!image || !this.canvas.clientWidth) return;
    const { pen } = sharpen(this.canvas);
    const { x, y, width, height } = this.#frame();
    pen.drawImage(image, x, y, width, height);
    if (this.#hasAxes) {
      this.#drawTimes(pen);
      this.#drawHz(pen);
    }
    this.#drawn.width = this.canvas.width;
    this.#drawn.height = this.canvas.height;
    this.#drawn.getContext("2d").drawImage(this.canvas, 0, 0);
    this.point(this.#seconds);
  }

  /** Name the canvas, for those who do not see it, after what it shows. */
  #name() {
    let name = `Spectrogram, ${this.#heard}`;
    const isEmpty = !this.#images.has(this.#heard);
    this.canvas.classList.toggle("is-empty", isEmpty);
    if (!isEmpty) {
      const { duration, hz } = this.#extent;
      name += `: 0 to ${clock(duration)}, 0 to ${(hz / 1000).toFixed(1)} kHz`;
    }
    if (this.canvas.getAttribute("aria-label") !== name) this.canvas.setAttribute("aria-label", name);
  }

  #drawTimes(pen) {
    const { x, y, width, height } = this.#frame();
    const { duration } = this.#extent;
    const step = timeStepFor(duration, width / 80);
    pen.textBaseline = "top";
    for (let i = 0; i * step <= duration + 1e-9; i += 1) {
      const at = x + (width * i * step) / duration;
      const text = i === 0 ? "0 s" : duration < 60 ? String(Number((i * step).toPrecision(6))) : clock(i * step, 0);
      pen.fillRect(at, y + height, 1, 4);
      pen.textAlign = at + 20 > x + width ? "right" : i === 0 ? "left" : "center";
      pen.fillText(text, at, y + height + 6);
    }
  }

  #drawHz(pen) {
    const { x, y, height } = this.#frame();
    const { hz } = this.#extent;
    const step = stepFor(hz, height / 28);
    pen.textAlign = "right";
    for (let i = 0; i * step <= hz + 1e-9; i += 1) {
      const at = y + height * (1 - (i * step) / hz);
      pen.textBaseline = at < y + 8 ? "top" : "middle";
      if (at > y + height - 2) pen.textBaseline = "bottom";
      pen.fillRect(x - 4, Math.min(at, y + height - 1), 4, 1);
      pen.fillText(i === 0 ? "0 Hz" : `${Number(((i * step) / 1000).toFixed(2))}k`, x - 6, at);
    }
  }
}

/** A spectrogram as an image, up to hz; the range of colours ends at topDb. */
function paint({ db, columns, rows, topHz }, { hz, topDb }) {
  const shownRows = Math.ceil((rows * hz) / topHz);
  const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: shownRows });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(columns, shownRows);
  const pixels = new Uint32Array(image.data.buffer);
  const last = SHADES.length - 1;
  for (let row = 0, at = 0; row < shownRows; row += 1) {
    for (let i = shownRows - 1 - row; i < columns * rows; i += rows, at += 1) {
      const shade = Math.round(last * (1 + (db[i] - topDb) / RANGE_DB));
      pixels[at] = SHADES[Math.max(0, Math.min(last, shade))];
    }
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** Draw what the colours mean, for a scale whose top is topDb. */
export function drawScale(canvas, topDb) {
  if (!canvas.clientWidth) return;
  const { pen, width } = sharpen(canvas);
  const ink = pen.fillStyle;
  const [x, length] = [MARGIN.left, width - MARGIN.left - MARGIN.right];
  for (let i = 0; i < length; i += 1) {
    pen.fillStyle = `rgb(${colour(i / length)})`;
    pen.fillRect(x + i, 2, 1.5, 12);
  }
  pen.fillStyle = ink;
  pen.textBaseline = "top";
  const steps = length < 400 ? 2 : 4;
  for (let i = 0; i <= steps; i += 1) {
    const db = topDb - RANGE_DB * (1 - i / steps);
    pen.textAlign = i === 0 ? "left" : i === steps ? "right" : "center";
    pen.fillText(`${db} dB`.replace("-", "−"), x + (length * i) / steps, 18);
  }
  canvas.setAttribute("aria-label", `Colours from ${topDb - RANGE_DB} to ${topDb} dB; 0 dB is a full-scale tone`);
}
