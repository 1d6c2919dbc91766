/** The upper half of the page: a recording is chosen, dropped or made, sent, and handed to the result. */

import { Problem, ask, denoise, keepToken } from "./api.js";
import { byId, clock, mebibytes, showOnly } from "./dom.js";
import { Recorder } from "./recorder.js";
import { Result } from "./result.js";

const VIEWS = ["drop", "recording", "working", "token-form"];
const DOING = { sending: "Sending", cleaning: "Cleaning", receiving: "Receiving", waiting: "Waiting: the server is busy" };
const BYTES_A_SAMPLE = 2; // of what is recorded here

let limits = null; // as /v1/limits has them; null while they are not known
let underway = null; // an AbortController while something is sent
let recorder = null;
const result = new Result((file, query) => attempt(() => clean(file, query), "download"));

/** Do something that takes the server; show what goes wrong. Returns null where it did. */
async function attempt(work, returnTo = "choose") {
  byId("error").hidden = true;
  underway?.abort();
  const mine = new AbortController();
  underway = mine;
  try {
    return await untilAllowed(work);
  } catch (error) {
    if (underway === mine) tellOf(error);
    return null;
  } finally {
    if (underway === mine) {
      underway = null;
      show("drop", returnTo);
    }
  }
}

/** Do it, and again with each token that is given, as long as the server asks for one. */
async function untilAllowed(work) {
  for (;;) {
    show("working", "cancel");
    try {
      return await work();
    } catch (error) {
      if (error.status !== 401) throw error;
      await askForToken();
    }
  }
}

/** Have a recording cleaned, with the bar to show for it. */
function clean(file, query) {
  check(file);
  return denoise(file, query, tell, underway.signal);
}

/** Refuse what the server would refuse, before it is sent. */
function check(file) {
  if (file.size === 0) throw new Problem("The recording is empty.", "Choose another; a folder cannot be taken.");
  const most = limits?.body_bytes ?? Infinity;
  if (file.size > most) {
    throw new Problem("The recording is too large.", `It has ${mebibytes(file.size)}; this server takes ${mebibytes(most)}.`);
  }
}

async function open(file) {
  const opened = await attempt(async () => {
    const made = await clean(file, { format: "wav" });
    await result.show(file, made, () => clean(file, { format: "wav", strength: 0 }));
    return file;
  });
  if (!opened) return;
  byId("status").textContent = `${file.name} is cleaned.`;
  byId("name").focus();
}

function tell(what, share) {
  const bar = byId("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  if (byId("doing").textContent !== DOING[what]) {
    byId("doing").textContent = byId("status").textContent = DOING[what];
  }
}

function tellOf(error) {
  if (error.name === "AbortError") {
    byId("status").textContent = "Cancelled.";
    return;
  }
  const isKnown = error instanceof Problem;
  byId("error-title").textContent = isKnown ? error.title : "Something went wrong in this page.";
  byId("error-detail").textContent = error.message;
  byId("error").hidden = false;
}

/** Wait for a token; throws the AbortError where none is given. */
function askForToken() {
  show("token-form", "token");
  const { signal } = underway;
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      keepToken(byId("token").value);
      byId("token").value = "";
      askForLimits();
      resolve();
    };
  });
}

/** Show one of the views, and move the focus there, for those who see none of it. */
function show(view, focused) {
  showOnly(VIEWS, view);
  byId(focused).focus();
}

async function record() {
  byId("error").hidden = true;
  try {
    recorder = await Recorder.start(follow);
    show("recording", "stop");
  } catch (error) {
    tellOf(error);
  }
}

function follow(seconds, levelDb) {
  byId("recorded").textContent = clock(seconds, 0);
  byId("level").value = levelDb;
  if (limits && recorder && seconds > mostSeconds()) stop();
}

function mostSeconds() {
  const rate = recorder.context.sampleRate;
  return Math.min(limits.channel_seconds, limits.body_bytes / (BYTES_A_SAMPLE * rate)) - 1;
}

async function stop() {
  const ending = recorder;
  recorder = null;
  if (ending) open(await ending.stop());
}

function discard() {
  recorder?.discard();
  recorder = null;
  show("drop", "record");
}

async function tryExample() {
  const answer = await fetch(new URL("example.flac", import.meta.url));
  open(new File([await answer.blob()], "example.flac"));
}

/** Take the first of the files that were dropped or chosen. */
function take(files) {
  if (recorder || files.length === 0) return;
  open(files[0]);
  if (files.length > 1) byId("status").textContent = `One at a time: ${files[0].name}.`;
}

function listenToDrops() {
  const over = (is) => byId("source").classList.toggle("is-over", is);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    take(event.dataTransfer.files);
  });
}

async function askForLimits() {
  limits = await ask("v1/limits");
  if (!limits) return;
  byId("limits").textContent = `WAV, FLAC, OGG, MP3 or AIFF, up to ${mebibytes(limits.body_bytes)}`
    + ` and ${clock(limits.channel_seconds, 0)} min of one channel.`;
  const model = await ask("v1/model");
  if (model) byId("band").textContent = `What lies above ${(model.sample_rate / 2000).toFixed(0)} kHz is not kept.`;
}

byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
});
byId("record").addEventListener("click", record);
byId("stop").addEventListener("click", stop);
byId("discard").addEventListener("click", discard);
byId("example").addEventListener("click", tryExample);
for (const id of ["cancel", "no-token"]) byId(id).addEventListener("click", () => underway?.abort());
listenToDrops();
askForLimits();
