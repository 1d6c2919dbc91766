/** Files -> samples, by the browser's own decoders. */

import { WAV_TYPE, toPcm, toWav } from "./wav.js";

const FALLBACK_RATE = 48000; // browsers do not tell a file's own rate

/** A file's samples at a rate, as an AudioBuffer; null where the browser cannot read it. */
export async function decode(file, rate) {
  try {
    return await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
}

/** A file of any format that the browser reads as a WAV file of the same name; null for others. */
export async function asWav(file) {
  const buffer = await decode(file, FALLBACK_RATE);
  if (!buffer?.length) return null;
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  return new File([toWav([toPcm(channels)], buffer.sampleRate, channels.length)], file.name, { type: WAV_TYPE });
}
