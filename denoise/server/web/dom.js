/** Elements, and how numbers are said. */

export const byId = (id) => document.getElementById(id);

/** Show the elements whose ids are in `shown`, and hide the others of `all`. */
export function showOnly(all, ...shown) {
  for (const id of all) byId(id).hidden = !shown.includes(id);
}

/** Seconds as minutes and seconds: 75.25 -> 1:15.2 (or 1:15 with no decimals). */
export function clock(seconds, decimals = 1) {
  const scale = 10 ** decimals;
  const whole = Math.floor(seconds * scale + 1e-6) / scale;
  const minutes = Math.floor(whole / 60);
  const rest = (whole - 60 * minutes).toFixed(decimals);
  return `${minutes}:${rest.padStart(decimals ? 3 + decimals : 2, "0")}`;
}

/** Bytes as people say them. */
export const mebibytes = (bytes) => `${Number((bytes / 2 ** 20).toFixed(1))} MiB`;
