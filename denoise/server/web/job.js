/** Long recordings as jobs of the server: no proxy's timeout and no restart loses them. */

import { Problem, credentials, pause, readResult, refusal, transfer, whileBusy } from "./api.js";

const POLL_SECONDS = 0.7;
const MAX_FAILURES = 900; // of requests in a row, ten minutes: a job outlives a restart or a lost network
const ACCEPTED = 202;
const UNAVAILABLE = [0, 502, 503, 504]; // no answer, or that of a proxy

/** Have a recording cleaned as a job; the arguments, the result and the errors are those of `denoise`. */
export async function denoiseAsJob(file, query, tell, signal) {
  const path = await whileBusy(() => create(file, query, tell, signal), tell, signal);
  const leave = (event) => event.persisted || remove(path); // nobody will fetch the result, unless it comes back
  addEventListener("pagehide", leave);
  try {
    await untilDone(path, tell, signal);
    return await fetchResult(path, tell, signal);
  } finally {
    removeEventListener("pagehide", leave);
    remove(path);
  }
}

/** Create a job; returns the path of its state. */
async function create(file, query, tell, signal) {
  const undo = async (answer) => answer.status === ACCEPTED && remove(await readPath(answer));
  const path = `v1/jobs?${new URLSearchParams(query)}`;
  const answer = await transfer("POST", path, { body: file, tell, signal, undo });
  if (answer.status !== ACCEPTED) throw await refusal(answer);
  return readPath(answer);
}

async function readPath(answer) {
  const { url } = JSON.parse(await answer.response.text());
  return url.replace(/^\//, ""); // the page may lie in a folder of a proxy
}

const remove = (path) => fetch(path, { method: "DELETE", headers: credentials(), keepalive: true }).catch(() => {});

/** Fetch the result; a server that is not available is asked again. */
async function fetchResult(path, tell, signal) {
  for (let failures = 0; ; failures += 1) {
    try {
      const answer = await transfer("GET", `${path}/result`, { tell, signal });
      if (answer.status !== 200) throw await refusal(answer);
      return readResult(answer);
    } catch (problem) {
      if (!UNAVAILABLE.includes(problem.status) || failures === MAX_FAILURES) throw problem;
      tell("unreachable", null);
      await pause(POLL_SECONDS, signal);
    }
  }
}

async function untilDone(path, tell, signal) {
  for (let failures = 0; ;) {
    const job = await look(path, signal);
    failures = job ? 0 : failures + 1;
    if (failures > MAX_FAILURES) throw new Problem("The server does not answer.", "Is it still running?", 0);
    if (job?.state === "done") return;
    if (job?.state === "failed") throw toProblem(job.problem);
    if (job?.state === "running") tell("cleaning", job.progress);
    else tell(job ? "waiting" : "unreachable", null);
    await pause(POLL_SECONDS, signal);
  }
}

/** The job's state; null where the server does not answer, or not now. */
async function look(path, signal) {
  let answer = null;
  try {
    answer = await fetch(path, { headers: credentials(), signal });
    if (answer.ok) return await answer.json();
  } catch {
    signal.throwIfAborted();
    return null;
  }
  if (answer.status === 401) throw new Problem("A token is required.", "", 401);
  if (answer.status !== 404) return null; // a proxy's, perhaps
  throw new Problem("The server has lost the recording.", "It may have been started anew in another folder.", 0);
}

const toProblem = ({ title, detail, status }) => new Problem(`${title}.`, detail ?? "", status);
