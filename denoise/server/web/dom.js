/** Elements, and how numbers are written. */

const SAVE_MS = 300; // between two downloads: Chrome drops what exceeds ten a second, Safari all but one at once
const PRIMARY = ["choose", "stop", "give-token", "download", "download-all"];

export const byId = (id) => document.getElementById(id);

/** Show the elements whose ids are in `shown`, and hide the others of `all`. */
export function showOnly(all, ...shown) {
  for (const id of all) byId(id).hidden = !shown.includes(id);
}

/** Give one button the primary style, and take it from the others; none has it if id is null. */
export function makePrimary(id) {
  for (const each of PRIMARY) byId(each).classList.toggle("primary", each === id);
}

/** Seconds as minutes and seconds: 75.25 -> 1:15.2 (or 1:15 with no decimals). */
export function clock(seconds, decimals = 1) {
  const scale = 10 ** decimals;
  const whole = Math.floor(seconds * scale + 1e-6) / scale;
  const minutes = Math.floor(whole / 60);
  const rest = (whole - 60 * minutes).toFixed(decimals);
  return `${minutes}:${rest.padStart(decimals ? 3 + decimals : 2, "0")}`;
}

/** A duration in words: 4.6 -> 5 seconds, 90 -> 2 minutes. */
export function inWords(seconds) {
  const [count, unit] = seconds < 59.5 ? [Math.round(seconds), "second"] : [Math.round(seconds / 60), "minute"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** A number of bytes, in the units that file managers show. */
export function fileSize(bytes) {
  const step = bytes < 2 ** 20 ? 0 : bytes < 2 ** 30 ? 1 : 2;
  return `${Number((bytes / 1024 ** (step + 1)).toFixed(1))} ${["kB", "MB", "GB"][step]}`;
}

/** Let the browser save a blob under a name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers begin late
}

/** Save several items one after the other, each by saveItem(item). */
export async function saveEach(items, saveItem) {
  for (const item of items) {
    saveItem(item);
    await new Promise((resolve) => { setTimeout(resolve, SAVE_MS); });
  }
}

/** Tell iOS what the page's sound is for: its silent switch mutes Web Audio that is no playback. */
export function useSoundFor(type) {
  if (navigator.audioSession) navigator.audioSession.type = type;
}

/** The name of a result: talk.m4a and wav -> talk-denoised.wav. */
export const resultName = (name, extension) => `${name.replace(/\.[^.]*$/, "")}-denoised.${extension}`;
