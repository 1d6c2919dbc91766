/** The server's side: recordings sent with progress, refusals as Problems. */

const TRIES = 6;
const TOO_LARGE = 413;
const TOKEN = "denoise-token";

/** What the server refused, that it does not answer (status 0), or what the page refuses (null). */
export class Problem extends Error {
  constructor(title, detail, status = null, retryAfter = 0) {
    super(detail);
    this.name = "Problem";
    this.title = title;
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether the same may well do another time. */
  get mayPass() { return this.status === 0 || this.status >= 500; }
}

let token = withStorage((storage) => storage.getItem(TOKEN));

export const hasToken = () => Boolean(token);

/** Keep a token until the tab is closed. */
export function keepToken(given) {
  token = given;
  withStorage((storage) => storage.setItem(TOKEN, given));
}

/** Use the tab's storage; null in browsers that are told to keep nothing, where it may not be touched. */
function withStorage(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

export const credentials = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** Ask a route for JSON; null where it gives none, since the page works without. */
export async function ask(path) {
  try {
    const answer = await fetch(path, { headers: credentials() });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/**
 * Have a recording cleaned; a server that is busy is asked again, up to `tries` times in all.
 *
 * tell(what, share) hears of "sending", "cleaning", "receiving" and "waiting"; share is 0 to 1, or
 * null where it is not known. Returns what readResult does; throws a Problem, or the
 * signal's reason.
 */
export async function denoise(file, query, tell, signal, tries = TRIES) {
  const path = `v1/denoise?${new URLSearchParams(query)}`;
  return whileBusy(() => send(path, file, tell, signal), tell, signal, tries);
}

/** Return what request() returns; call it again as long as the server is too busy for it. */
export async function whileBusy(request, tell, signal, tries = TRIES) {
  for (let left = tries - 1; ; left -= 1) {
    try {
      return await request();
    } catch (problem) {
      if (problem.status !== 503 || left === 0) throw problem;
      tell("waiting", null);
      await pause(problem.retryAfter, signal);
    }
  }
}

async function send(path, file, tell, signal) {
  const request = await transfer("POST", path, { body: file, tell, signal });
  if (request.status !== 200) throw await refusal(request);
  return readResult(request);
}

/**
 * Send a request, with a body where there is one, and return the XMLHttpRequest once it is answered;
 * its response is a Blob. Throws a Problem without an answer, or the signal's reason.
 *
 * With `undo`, a body that was sent before the signal came is answered all the same, and undo(request)
 * is called with that answer.
 */
export function transfer(method, path, { body = null, tell, signal, undo = null }) {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how far an upload has come
    let isSent = false;
    const abort = () => {
      if (undo && isSent) reject(signal.reason);
      else request.abort();
    };
    signal.addEventListener("abort", abort);
    request.open(method, path);
    request.responseType = "blob";
    if (body) request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(credentials())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => tell("sending", share(event));
    request.upload.onload = () => {
      isSent = true;
      tell("cleaning", null);
    };
    request.onprogress = (event) => request.status === 200 && tell("receiving", share(event));
    request.onabort = () => reject(signal.reason);
    request.onerror = () => reject(new Problem("The server does not answer.",
      "Is it still running? If it is, the recording may have been moved since you chose it, or it may be a folder.", 0));
    request.onload = () => {
      if (signal.aborted) undo?.(request);
      resolve(request);
    };
    request.onloadend = () => signal.removeEventListener("abort", abort);
    if (body) tell("sending", 0);
    request.send(body);
  });
}

const share = (event) => (event.lengthComputable ? event.loaded / event.total : null);

/** What the server has made, from its answer: { blob, sampleRate, count of samples in all channels, extension }. */
export function readResult(request) {
  const name = /filename="([^"]*)"/.exec(request.getResponseHeader("Content-Disposition") ?? "");
  const [sampleRate, channels, seconds] = ["Sample-Rate", "Channels", "Seconds"].map(
    (header) => Number(request.getResponseHeader(`Audio-${header}`)),
  );
  return {
    blob: request.response,
    sampleRate,
    count: sampleRate * channels * seconds,
    extension: name ? name[1].split(".").pop() : "wav",
  };
}

/** The Problem that a refused request tells of. */
export async function refusal(request) {
  const retryAfter = Number(request.getResponseHeader("Retry-After")) || 1;
  try {
    const { title, detail } = JSON.parse(await request.response.text());
    if (!title) throw new TypeError("This is some other JSON.");
    return new Problem(`${title}.`, detail ?? "", request.status, retryAfter);
  } catch {
    if (request.status === TOO_LARGE) {
      return new Problem("The recording is too large.", "A proxy before the server accepts smaller ones only.", TOO_LARGE);
    }
    const detail = `It answered ${request.status} in an unknown format. Is there a proxy in between?`;
    return new Problem("The server's answer cannot be read.", detail, request.status, retryAfter);
  }
}

/** Wait; throws the signal's reason where that comes first. */
export function pause(seconds, signal) {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, 1000 * Math.min(60, seconds));
    signal.addEventListener("abort", abort);
  });
}
