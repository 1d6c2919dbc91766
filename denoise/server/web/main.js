/** The upper half of the page: a recording is chosen, dropped or made, sent, and handed to the result. */

import { Problem, ask, denoise, hasToken, keepToken } from "./api.js";
import { byId, clock, mebibytes, showOnly } from "./dom.js";
import { Recorder } from "./recorder.js";
import { Result } from "./result.js";

const VIEWS = ["drop", "recording", "working", "token-form"];
const DOING = {
  asking: "Waiting for the microphone",
  fetching: "Fetching the example",
  sending: "Sending",
  cleaning: "Cleaning",
  receiving: "Receiving",
  waiting: "Waiting: the server is busy",
};
const MEDIA = "WAV, FLAC, OGG, MP3, AIFF, M4A, MP4, WebM and others"; // with the server's extra
const BYTES_A_SAMPLE = 2; // of what is recorded here

let limits = null; // as /v1/limits has them; null while they are not known
let underway = null; // an AbortController while something is sent
let recorder = null;
const result = new Result((file, query) => attempt((signal) => clean(file, query, signal), "download"));

/**
 * Do what takes a while, and show what goes wrong: work(signal), again on `again` where that may help.
 * One thing at a time: what was under way ends. Returns null where it came to nothing.
 */
async function attempt(work, returnTo = "choose", again = null) {
  byId("error").hidden = true;
  underway?.abort();
  const mine = new AbortController();
  underway = mine;
  byId("download").disabled = true; // it would end what is under way
  try {
    return await Promise.race([untilAllowed(work, mine.signal), whenAborted(mine.signal)]);
  } catch (error) {
    if (underway === mine) tellOf(error, again);
    return null;
  } finally {
    if (underway === mine) end(returnTo);
  }
}

function end(returnTo) {
  underway = null;
  byId("download").disabled = false;
  show("drop", returnTo);
  byId("error").scrollIntoView({ block: "nearest" }); // where the focus is far below
}

const whenAborted = (signal) => new Promise((_, reject) => {
  signal.addEventListener("abort", () => reject(signal.reason));
});

/** Do it, and again with each token that is given, as long as the server asks for one. */
async function untilAllowed(work, signal) {
  for (;;) {
    show("working", "cancel");
    try {
      return await work(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error.status !== 401) throw error;
      await tokenGiven();
    }
  }
}

/** Have a recording cleaned, with the bar to show for it. */
function clean(file, query, signal) {
  check(file);
  return denoise(file, query, tell, signal);
}

/** Refuse what the server would refuse, before it is sent. */
function check(file) {
  if (file.size === 0) throw new Problem("The recording is empty.", "Choose another file; folders cannot be sent.");
  const most = limits?.body_bytes ?? Infinity;
  if (file.size > most) {
    throw new Problem("The recording is too large.", `It has ${mebibytes(file.size)}; this server accepts at most ${mebibytes(most)}.`);
  }
}

/** Have the File that find() gives cleaned, and show it. */
async function open(find) {
  let file = null;
  const work = async (signal) => {
    file ??= await find();
    const made = await clean(file, { format: "wav" }, signal);
    await result.show(file, made, () => clean(file, { format: "wav", strength: 0 }, signal), signal);
    return file;
  };
  const opened = await attempt(work, "choose", () => open(() => file ?? find()));
  if (!opened) return;
  byId("status").textContent = `${file.name} has been cleaned.`;
  byId("name").focus();
}

function tell(what, share) {
  const bar = byId("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  if (byId("status").textContent !== DOING[what]) {
    byId("doing").textContent = byId("status").textContent = DOING[what];
  }
}

/** Show an error; with a button for `again`, where it may pass. */
function tellOf(error, again = null) {
  if (error.name === "AbortError") {
    byId("status").textContent = "Cancelled.";
    byId("error").hidden = true;
    return;
  }
  const isKnown = error instanceof Problem;
  byId("error-title").textContent = isKnown ? error.title : "Something went wrong in this page.";
  byId("error-detail").textContent = error.message;
  byId("again").hidden = !(again && error.mayPass);
  byId("again").onclick = again;
  byId("error").hidden = false;
}

/** Wait until a token is given. */
function tokenGiven() {
  if (hasToken()) tellOf(new Problem("The token is wrong.", ""));
  show("token-form", "token");
  return new Promise((resolve) => {
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      byId("error").hidden = true;
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
  result.pause(); // the microphone would hear it
  const started = await attempt(async (signal) => {
    tell("asking", null);
    const made = await Recorder.start(follow, stop);
    if (signal.aborted) made.discard(); // it was cancelled while the browser asked
    return made;
  }, "record");
  if (!started) return;
  recorder = started;
  byId("longest").textContent = limits ? `of ${clock(mostSeconds(), 0)} at most` : "";
  show("recording", "stop");
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

function stop() {
  const ending = recorder;
  recorder = null;
  if (ending) open(() => ending.stop());
}

function discard() {
  recorder?.discard();
  recorder = null;
  byId("error").hidden = true;
  show("drop", "record");
}

async function findExample() {
  tell("fetching", null);
  const answer = await fetch(new URL("example.flac", import.meta.url)).catch(() => null);
  if (!answer?.ok) throw new Problem("The example could not be loaded.", "Is the server still running?", 0);
  return new File([await answer.blob()], "example.flac");
}

/** Take the first of the files that were dropped or chosen. */
function take(files) {
  if (files.length === 0) return;
  if (recorder) {
    tellOf(new Problem("The microphone is on.", "Stop or discard the recording first."));
    return;
  }
  open(() => files[0]);
  if (files.length > 1) tellOf(new Problem("Only one file at a time.", `${files[0].name} was opened, the others were not.`));
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
  const readsMedia = limits.reads?.includes("m4a");
  if (readsMedia) byId("file").accept += limits.reads.map((name) => `,.${name}`).join("");
  const minutes = Number((limits.channel_seconds / 120).toPrecision(3));
  byId("limits").textContent = `${readsMedia ? MEDIA : "WAV, FLAC, OGG, MP3 or AIFF"},`
    + ` up to ${minutes} minutes in stereo and ${mebibytes(limits.body_bytes)}.`;
  const model = await ask("v1/model");
  if (model) byId("band").textContent = `Above ${(model.sample_rate / 2000).toFixed(0)} kHz, steady noise is removed.`;
}

byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
});
byId("record").addEventListener("click", record);
byId("stop").addEventListener("click", stop);
byId("discard").addEventListener("click", discard);
byId("example").addEventListener("click", () => open(findExample));
for (const id of ["cancel", "no-token"]) byId(id).addEventListener("click", () => underway?.abort());
listenToDrops();
askForLimits();
