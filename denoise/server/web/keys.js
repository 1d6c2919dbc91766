/** Keys for the player: Space plays and pauses, B switches between before and after, L loops. */

import { byId } from "./dom.js";

const TYPING = "select, textarea, input:not([type=range], [type=radio], [type=checkbox])";
const PRESSED_BY_SPACE = "button, a, summary, input[type=checkbox]";

const ACTIONS = {
  " ": () => byId("play").click(),
  b: () => {
    const [before, after] = document.getElementsByName("heard");
    (before.checked ? after : before).click();
  },
  l: () => byId("loop").click(),
};

/** Listen to the keys, wherever the focus is, unless the page's box for them is not ticked. */
export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!(key in ACTIONS) || !isMeant(event)) return;
    if (key === " " && event.target.closest(PRESSED_BY_SPACE)) return;
    event.preventDefault(); // Space would scroll
    if (!event.repeat) ACTIONS[key]();
  });
}

function isMeant(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(TYPING)) return false;
  return byId("keys").checked && !byId("result").hidden && !byId("player").hidden && byId("recording").hidden;
}
