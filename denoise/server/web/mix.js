/** What can be heard of a recording: each is a mix of what it was before and after. */

export const HEARD = ["before", "after", "removed"];

/** How much of [before, after] is heard: strength mixes them, removed is what lies between. */
export function shares(heard, strength) {
  if (heard === "before") return [1, 0];
  return heard === "after" ? [1 - strength, strength] : [strength, -strength];
}
