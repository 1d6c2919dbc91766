/** How much lower the noise is in the pauses between words. */

import { powerOfMix } from "./spectrogram.js";

const PAUSE_DB = -30; // below the loud frames of what was cleaned
const LOUD_SHARE = 0.95; // of the frames are no louder than a loud one
const MIN_FRAMES = 10; // about 0.16 s of pauses
const SILENT_DB = -75; // no noise that anybody hears; 0 dB is a full-scale sine
export const MAX_DB = 40;

/**
 * The noise of left * before + right * after against that before, in dB: { reductionDb }, 40 at
 * most. reductionDb is null where no pauses are found, and isSilent tells that they had no noise.
 */
export function noiseLevel({ frames }, [left, right]) {
  const [before, after] = frames;
  const pauses = findPauses(after);
  if (pauses.length < MIN_FRAMES) return { reductionDb: null, isSilent: false };
  const mean = (power) => pauses.reduce((sum, i) => sum + power(i), 0) / pauses.length;
  const powerBefore = mean((i) => before[i]);
  if (10 * Math.log10(powerBefore) < SILENT_DB) return { reductionDb: null, isSilent: true };
  const powerAfter = mean((i) => powerOfMix(frames, i, left, right));
  const floor = powerBefore * 10 ** (-MAX_DB / 10);
  return { reductionDb: 10 * Math.log10(powerBefore / Math.max(floor, powerAfter)), isSilent: false };
}

function findPauses(powers) {
  const loud = Float32Array.from(powers).sort()[Math.floor(LOUD_SHARE * (powers.length - 1))];
  const threshold = loud * 10 ** (PAUSE_DB / 10);
  return [...powers.keys()].filter((i) => powers[i] <= threshold);
}
