/** Samples -> a WAV file of 16 bits. */

const HEADER_BYTES = 44;
const FULL_SCALE = 0x7fff;
export const WAV_TYPE = "audio/wav";

/** Channels of samples, -1 to 1, as a WAV file has them; done block by block, the end has little left to do. */
export function toPcm(channels) {
  const view = new DataView(new ArrayBuffer(2 * channels.length * channels[0].length));
  channels.forEach((samples, channel) => {
    for (let i = 0; i < samples.length; i += 1) {
      const bounded = Math.max(-1, Math.min(1, samples[i]));
      view.setInt16(2 * (i * channels.length + channel), Math.round(bounded * FULL_SCALE), true);
    }
  });
  return view;
}

/** Blocks of PCM as a Blob of the type WAV_TYPE. */
export function toWav(blocks, sampleRate, channels = 1) {
  const bytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  return new Blob([makeHeader(bytes, sampleRate, channels), ...blocks], { type: WAV_TYPE });
}

function makeHeader(bytes, sampleRate, channels) {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format that follows
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, channels, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * channels * sampleRate, true); // bytes a second
  view.setUint16(32, 2 * channels, true); // bytes a sample, of all channels
  view.setUint16(34, 16, true); // bits
  text(36, "data");
  view.setUint32(40, bytes, true);
  return view;
}
