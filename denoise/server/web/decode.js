/** Files -> samples, by the browser's own decoders. */

import { WAV_TYPE, toPcm, toWav } from "./wav.js";

const FALLBACK_RATE = 48000; // browsers do not tell a file's own rate
const USUAL_RATE = 44100;
const MOST_CHANNELS = 8;
const START_BYTES = 2 ** 18; // enough to find the channels
// What a server without its extra for media does not read, but a browser may.
const OF_BROWSERS = /\.(m4[abrv]|mp4|mov|qt|3gp|aac|adts|mkv|mka|web[ma])$/i;

/** A file's samples at a rate, as an AudioBuffer; null where the browser cannot read it. */
export async function decode(file, rate) {
  try {
    return await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
}

/** Whether a file of so many seconds has more than `most` samples in all channels, at the usual rate. */
export async function isLonger(file, seconds, most) {
  const count = seconds * USUAL_RATE; // 0 where the duration is not known
  if (count * MOST_CHANNELS <= most) return false;
  const start = await decode(file.slice(0, START_BYTES), USUAL_RATE);
  return count * (start?.numberOfChannels ?? 1) > most;
}

/** Whether only the browser can read a file, by its name; limits are the server's, or null. */
export function isForBrowser(file, limits) {
  const extension = file.name.split(".").pop().toLowerCase();
  return OF_BROWSERS.test(file.name) && limits?.reads?.includes(extension) === false;
}

/** A file of any format that the browser reads as a WAV file of the same name; null for others. */
export async function asWav(file) {
  const buffer = await decode(file, FALLBACK_RATE);
  if (!buffer?.length) return null;
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  return new File([toWav([toPcm(channels)], buffer.sampleRate, channels.length)], file.name, { type: WAV_TYPE });
}
