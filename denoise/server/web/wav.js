/** Samples -> a WAV file: mono, 16 bits. */

const HEADER_BYTES = 44;
const FULL_SCALE = 0x7fff;

/** Blocks of samples, -1 to 1, as a Blob of type audio/wav. */
export function encodeWav(blocks, sampleRate) {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + 2 * count));
  writeHeader(view, count, sampleRate);
  let at = HEADER_BYTES;
  for (const block of blocks) {
    for (const sample of block) {
      const bounded = Math.max(-1, Math.min(1, sample));
      view.setInt16(at, Math.round(bounded * FULL_SCALE), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

function writeHeader(view, count, sampleRate) {
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + 2 * count, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format that follows
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample, of all channels
  view.setUint16(34, 16, true); // bits
  text(36, "data");
  view.setUint32(40, 2 * count, true);
}
