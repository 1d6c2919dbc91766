/** How long cleaning will take, from how long it took before. */

const LEAST_SECONDS = 20; // shorter recordings say more about the network than about the server
const METADATA_MS = 2000;

let secondsPerSecond = 0.03; // of work for one second of sound, until a recording has shown it

/** Remember that a recording of so many seconds took so many seconds. */
export function learn(audioSeconds, workSeconds) {
  if (audioSeconds >= LEAST_SECONDS) secondsPerSecond = workSeconds / audioSeconds;
}

/** The seconds that a recording is expected to take; null if its duration is not known. */
export const estimate = (audioSeconds) => (audioSeconds === null ? null : secondsPerSecond * audioSeconds);

/** The duration of a file in seconds; null where the browser cannot tell it. */
export function durationOf(file) {
  return new Promise((resolve) => {
    const audio = new Audio();
    const end = (seconds) => {
      URL.revokeObjectURL(audio.src);
      resolve(Number.isFinite(seconds) ? seconds : null);
    };
    audio.preload = "metadata";
    audio.onloadedmetadata = () => end(audio.duration);
    audio.onerror = () => end(null);
    setTimeout(() => end(null), METADATA_MS);
    audio.src = URL.createObjectURL(file);
  });
}
