/** The page: recordings are chosen, dropped or made, cleaned by the server, and shown. */

import { Problem, ask, denoise } from "./api.js";
import { Batch } from "./batch.js";
import { asWav, isForBrowser } from "./decode.js";
import { byId, clock, fileSize, inWords, save, saveEach } from "./dom.js";
import { denoiseAsJob } from "./job.js";
import { listenToKeys } from "./keys.js";
import { Pace, durationOf } from "./pace.js";
import { Recorder } from "./recorder.js";
import { PLAYABLE, Result } from "./result.js";
import { attempt, attemptUnseen, cancel, dismiss, hideError, setPrimary, show, showError, tell } from "./task.js";

const MEDIA = "WAV, FLAC, OGG, MP3, M4A, MP4 and others"; // with the server's extra
const BYTES_A_SAMPLE = 2; // of what is recorded here
const MAX_DIRECT_BYTES = 8 * 2 ** 20; // larger recordings are sent as jobs
const MAX_DIRECT_SECONDS = 600; // so are longer ones, however small
const UNSUPPORTED = 415;
const EXAMPLE = {
  title: "An example",
  hint: "Press play, then switch between before and after.",
};

let limits = null; // as /v1/limits has them; null while they are not known
let recorder = null;
let kept = []; // recordings of the microphone that have not been cleaned
const saved = new WeakSet(); // those that were downloaded
const result = new Result((file, query) => (
  attempt((signal) => clean(file, query, signal), { returnTo: "download", name: () => file.name })
));
const batch = new Batch({
  clean: async (file, prefix, signal) => (await cleanAny(file, {}, signal, prefix)).made,
  open: (file) => open(() => file, { keepsBatch: true }),
  resume: () => runBatch(),
});

/** Have a recording cleaned, and show how far that has come. */
async function clean(file, query, signal, prefix = "") {
  check(file);
  const seconds = await durationOf(file);
  const isLong = file.size > MAX_DIRECT_BYTES || seconds > MAX_DIRECT_SECONDS;
  const send = isLong ? denoiseAsJob : denoise;
  const pace = new Pace(seconds);
  return send(file, query, (phase, share) => {
    pace.follow(phase);
    tell(phase, share, { prefix, ...(phase === "cleaning" && pace.estimate(share)) });
  }, signal);
}

/**
 * Clean a recording; what the server does not read, the browser decodes. Returns what was sent, the
 * query, and what was made of it: { file, query, made }.
 */
async function cleanAny(file, query, signal, prefix = "") {
  const send = async (sent, asked) => ({ file: sent, query: asked, made: await clean(sent, asked, signal, prefix) });
  const sendDecoded = (decoded) => send(decoded, { ...query, format: "wav" });
  const early = isForBrowser(file, limits) && await asWav(file);
  if (early) return sendDecoded(early);
  try {
    return await send(file, query);
  } catch (problem) {
    if (problem.status !== UNSUPPORTED) throw problem;
    const decoded = await asWav(file);
    if (!decoded) throw problem;
    return sendDecoded(decoded);
  }
}

/** Refuse what the server would refuse, before it is sent. */
function check(file) {
  if (file.size === 0) throw new Problem("The recording is empty.", "Choose another file; folders cannot be sent.");
  const most = limits?.body_bytes ?? Infinity;
  if (file.size > most) {
    throw new Problem("The recording is too large.", `It has ${fileSize(file.size)}; this server accepts at most ${fileSize(most)}.`);
  }
}

/** Have the File that find() gives cleaned, and show it in the player. */
async function open(find, { keepsBatch = false, ...described } = {}) {
  let file = null;
  const work = async (signal) => {
    file ??= await find();
    const wanted = await result.queryFor(file, await durationOf(file));
    const { file: sent, query, made } = await cleanAny(file, wanted, signal);
    await result.show(sent, made, { query, clean: (other) => clean(sent, other, signal), signal, ...described });
    return file;
  };
  const opened = await attempt(work, {
    again: () => open(() => file ?? find(), { keepsBatch, ...described }),
    name: () => file?.name,
  });
  if (!opened) return;
  keepAll(kept.filter((each) => each !== opened));
  if (!keepsBatch) batch.clear();
  if (described.title) byId("example").hidden = true;
  else settle("download");
  byId("status").textContent = `${file.name} has been cleaned.`;
  byId("name").focus();
}

/** Clean several recordings, with a row for each. */
async function openAll(files) {
  result.pause();
  byId("result").hidden = true;
  batch.load(files);
  settle("download-all");
  await runBatch();
}

async function runBatch() {
  const rows = await attempt((signal) => batch.run(signal));
  if (rows) byId("status").textContent = byId("batch-title").textContent;
}

/** From now on there is a result of the user's own: the way to another recording becomes small. */
function settle(primary) {
  document.body.classList.add("has-own");
  byId("choose").textContent = "Another recording";
  byId("example").hidden = true;
  setPrimary(primary);
}

/** Show the example as the page opens; a button offers it again where that fails. */
async function openExample() {
  const isShown = await attemptUnseen(async (signal) => {
    const file = await findExample();
    const clean = (query) => denoise(file, query, () => {}, signal, 1);
    await result.show(file, await clean(PLAYABLE), { clean, signal, ...EXAMPLE });
    return true;
  });
  byId("example").hidden = Boolean(isShown) || document.body.classList.contains("has-own");
}

async function findExample() {
  const answer = await fetch(new URL("example.flac", import.meta.url)).catch(() => null);
  if (!answer?.ok) throw new Problem("The example could not be loaded.", "Is the server still running?", 0);
  return new File([await answer.blob()], "example.flac");
}

async function record() {
  result.pause(); // the microphone would hear it
  byId("play").disabled = true;
  const started = await attempt(async (signal) => {
    tell("asking", null);
    const made = await Recorder.start(follow, stop);
    if (signal.aborted) made.discard(); // it was cancelled while the browser asked
    return made;
  }, { returnTo: "record" });
  if (!started) {
    byId("play").disabled = false;
    return;
  }
  recorder = started;
  byId("longest").textContent = limits ? `of ${clock(mostSeconds(), 0)} at most` : "";
  hold(true);
  show("recording", "stop");
}

/** While the microphone is on, nothing is played, which it would hear, and nothing cleaned. */
function hold(isRecording) {
  byId("play").disabled = byId("download").disabled = isRecording;
  batch.hold(isRecording);
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

function endRecording() {
  const ending = recorder;
  recorder = null;
  hold(false);
  return ending;
}

function stop() {
  const ending = endRecording();
  if (!ending) return;
  open(async () => {
    const file = await ending.stop();
    keepAll([...kept, file]);
    return file;
  });
}

/** Keep recordings of the microphone, which exist nowhere else, for the user to download. */
function keepAll(files) {
  kept = files;
  const count = files.length;
  byId("kept").hidden = count === 0;
  byId("kept-text").textContent = count === 1 ? "A recording of yours has not been cleaned."
    : `${count} recordings of yours have not been cleaned.`;
  byId("save-kept").textContent = count === 1 ? "Download it" : `Download all ${count}`;
}

function saveKept() {
  return saveEach(kept, (file) => {
    save(file, file.name);
    saved.add(file);
  });
}

function discard() {
  endRecording()?.discard();
  hideError();
  show("drop", "record");
}

/** Take the files that were dropped or chosen. */
function take(files) {
  if (files.length === 0) return;
  if (recorder) {
    showError(new Problem("The microphone is on.", "Stop or discard the recording first."));
    return;
  }
  if (files.length > 1) openAll(files);
  else open(() => files[0]);
}

function listenToDrops() {
  const over = (is) => document.body.classList.toggle("is-over", is);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    take([...event.dataTransfer.files]);
  });
}

async function askForLimits() {
  limits = await ask("v1/limits");
  if (!limits) return;
  const readsMedia = limits.reads?.includes("m4a");
  if (readsMedia) byId("file").accept += limits.reads.map((name) => `,.${name}`).join("");
  const longest = inWords(60 * (limits.minutes[2] ?? limits.minutes[1]));
  byId("limits").textContent = `${readsMedia ? MEDIA : "WAV, FLAC, OGG, MP3, AIFF and what your browser plays"},`
    + ` up to ${longest} and ${fileSize(limits.body_bytes)} each.`;
  const model = await ask("v1/model");
  if (model) byId("band").textContent = `Above ${(model.sample_rate / 2000).toFixed(0)} kHz, only steady noise is removed.`;
}

byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
});
byId("record").addEventListener("click", record);
byId("stop").addEventListener("click", stop);
byId("discard").addEventListener("click", discard);
byId("save-kept").addEventListener("click", saveKept);
addEventListener("beforeunload", (event) => { // the browser asks before it drops what exists here only
  if (recorder || kept.some((file) => !saved.has(file))) event.preventDefault();
});
byId("example").addEventListener("click", () => open(() => {
  tell("fetching", null);
  return findExample();
}, EXAMPLE));
byId("dismiss").addEventListener("click", dismiss);
for (const id of ["cancel", "no-token"]) byId(id).addEventListener("click", cancel);
document.addEventListener("tokengiven", askForLimits);
listenToDrops();
listenToKeys();
askForLimits();
openExample();
if (AbortSignal.prototype.throwIfAborted) byId("unsupported").remove();
else byId("unsupported").classList.add("is-sure");
