/** One task at a time: its progress, the token that the server may ask for, and what went wrong. */

import { Problem, hasToken, keepToken } from "./api.js";
import { byId, inWords, makePrimary, showOnly } from "./dom.js";

const VIEWS = ["drop", "recording", "working", "token-form"];
const PRIMARY_OF = { recording: "stop", "token-form": "give-token", working: null };
const PHASES = {
  preparing: "Preparing",
  asking: "Waiting for the microphone",
  fetching: "Fetching the example",
  sending: "Sending",
  cleaning: "Cleaning",
  receiving: "Receiving",
  waiting: "Waiting: the server is busy",
  unreachable: "Waiting: the server does not answer",
};
const NEARLY = 0.95; // where a bar that an estimate moves stays until the work is done

let current = null; // the AbortController of the task under way
let restingPrimary = "choose"; // the primary button while nothing is under way
let lastFocused = "choose"; // the element that got the focus with the view that is shown
let timer = 0;

/**
 * Run work(signal) as the one task: another that is under way ends. Its progress is shown, and its
 * error, with a button that calls again() where that may help. Returns what work returns, or null.
 * `name` is the recording's, and returnTo the button that gets the focus at the end.
 */
export async function attempt(work, { returnTo = "choose", again = null, name = () => "" } = {}) {
  hideError();
  const mine = begin();
  byId("download").disabled = true; // it would end what is under way
  try {
    return await Promise.race([untilAllowed(work, mine.signal), whenAborted(mine.signal)]);
  } catch (error) {
    if (current === mine) showError(error, { again, name: name() });
    return null;
  } finally {
    if (current === mine) end(returnTo);
  }
}

/** Run work(signal) unseen: nothing is shown, and any other task ends it. Returns null on an error. */
export async function attemptUnseen(work) {
  const mine = begin();
  try {
    return await Promise.race([work(mine.signal), whenAborted(mine.signal)]);
  } catch {
    return null;
  } finally {
    if (current === mine) current = null;
  }
}

export const cancel = () => current?.abort();

function begin() {
  current?.abort();
  current = new AbortController();
  return current;
}

function end(returnTo) {
  current = null;
  clearInterval(timer);
  byId("download").disabled = false;
  show("drop", returnTo);
  byId("error").scrollIntoView({ block: "nearest" }); // where the focus is far below
}

const whenAborted = (signal) => new Promise((_, reject) => {
  signal.addEventListener("abort", () => reject(signal.reason));
});

/** Run work, and again with each token that is given, as long as the server asks for one. */
async function untilAllowed(work, signal) {
  for (;;) {
    show("working", "cancel");
    tell("preparing", null);
    try {
      return await work(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error.status !== 401) throw error;
      await tokenGiven();
    }
  }
}

/** Wait until a token is given. */
function tokenGiven() {
  if (hasToken()) showError(new Problem("The token is wrong.", ""));
  show("token-form", "token");
  return new Promise((resolve) => {
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      hideError();
      keepToken(byId("token").value);
      byId("token").value = "";
      document.dispatchEvent(new Event("tokengiven"));
      resolve();
    };
  });
}

/** Show one of the views, and move the focus there, for those who do not see it. */
export function show(view, focused) {
  showOnly(VIEWS, view);
  makePrimary(view in PRIMARY_OF ? PRIMARY_OF[view] : restingPrimary);
  lastFocused = focused;
  byId(focused).focus();
}

/** Choose the button that is the primary one whenever nothing is under way. */
export function setPrimary(id) {
  restingPrimary = id;
  if (!byId("drop").hidden) makePrimary(id);
}

/**
 * Show a phase of the work; share is 0 to 1, or null if it is not known. The text says how long it
 * may still take: the seconds that are `left`, or, where nobody tells how far it is, what the clock
 * leaves of the `expected` ones.
 */
export function tell(phase, share, { prefix = "", expected = null, left = null } = {}) {
  clearInterval(timer);
  const text = prefix + PHASES[phase];
  if (byId("status").textContent !== text) byId("status").textContent = text;
  if (share === null && expected !== null) return follow(text, expected);
  showProgress(text + inRest(left), share);
}

const inRest = (seconds) => (seconds > 1.5 ? `: about ${inWords(seconds)} left` : "");

function follow(text, expected) {
  const start = performance.now();
  const turn = () => {
    const passed = (performance.now() - start) / 1000;
    showProgress(text + inRest(expected - passed), Math.min(NEARLY, passed / expected));
  };
  turn();
  timer = setInterval(turn, 250);
}

function showProgress(text, share) {
  if (share === null) byId("progress").removeAttribute("value");
  else byId("progress").value = share;
  byId("doing").textContent = text;
}

/** Show an error: of the recording called `name`, with a button for again() if that may help. */
export function showError(error, { again = null, name = "" } = {}) {
  if (error.name === "AbortError") {
    byId("status").textContent = "Cancelled.";
    hideError();
    return;
  }
  const isKnown = error instanceof Problem;
  byId("error-name").textContent = name && `${name}:`;
  byId("error-title").textContent = isKnown ? error.title : "Something went wrong in this page.";
  byId("error-detail").textContent = error.message;
  byId("again").hidden = !(again && error.mayPass);
  byId("again").onclick = again;
  byId("error").hidden = false;
}

/** Hide the error, with the button that has the focus. */
export function dismiss() {
  hideError();
  byId(lastFocused).focus();
}

export function hideError() {
  byId("error").hidden = true;
}
