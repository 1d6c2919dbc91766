/** Samples -> spectrograms in decibels, as POST /v1/spectrogram has them: 0 dB is a full-scale sine. */

const WINDOW_SECONDS = 0.032;
const MOST_COLUMNS = 800;
const FLOOR = 1e-12; // -120 dB

/** The mean of channels, Float32Array each. */
export function mean(channels) {
  if (channels.length === 1) return channels[0];
  const sum = new Float32Array(channels[0].length);
  for (const samples of channels) {
    for (let i = 0; i < sum.length; i += 1) sum[i] += samples[i] / channels.length;
  }
  return sum;
}

/**
 * Two recordings of one length -> what the spectrogram of any mix of them needs, small however
 * long they are: by column and row the sums of both powers, and of what they have in common.
 * [column * rows + row], row 0 at 0 Hz; the bin at half the rate is left out. Where there are more
 * frames than columns, a column is a sum of several.
 */
export function spectra(before, after, sampleRate) {
  const size = 2 ** Math.round(Math.log2(WINDOW_SECONDS * sampleRate));
  const hop = size / 2;
  const frames = Math.floor(before.length / hop) + 1;
  const columns = Math.min(frames, MOST_COLUMNS);
  const rows = size / 2;
  const sums = Array.from({ length: 3 }, () => new Float64Array(columns * rows));
  const counts = new Float64Array(columns);
  const add = makeAdder(before, after, size);
  for (let frame = 0; frame < frames; frame += 1) {
    const column = Math.floor((frame * columns) / frames);
    counts[column] += 1;
    add(frame * hop - hop, sums, column * rows);
  }
  return { sums, counts, columns, rows, topHz: sampleRate / 2 };
}

/** The spectrogram of before + strength * (after - before): { db, columns, rows, topHz }. */
export function decibels({ sums: [before, after, common], counts, columns, rows, topHz }, strength) {
  const left = 1 - strength;
  const db = new Float32Array(columns * rows);
  for (let i = 0; i < db.length; i += 1) {
    const sum = left * left * before[i] + strength * strength * after[i] + 2 * left * strength * common[i];
    db[i] = 10 * Math.log10(Math.max(FLOOR, sum / counts[Math.floor(i / rows)]));
  }
  return { db, columns, rows, topHz };
}

/** Return add(start, sums, at), which adds a windowed frame's powers to the sums from `at` on. */
function makeAdder(before, after, size) {
  const fullScale = size / 4; // half the window's sum: what a full-scale sine gives
  const window = Float64Array.from({ length: size }, (_, n) => (0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size)) / fullScale);
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  const transform = makeFft(size);
  const take = (samples, start, frame) => {
    const end = Math.min(size, samples.length - start);
    frame.fill(0);
    for (let n = Math.max(0, -start); n < end; n += 1) frame[n] = window[n] * samples[start + n];
  };
  return (start, sums, at) => {
    take(before, start, real);
    take(after, start, imaginary);
    transform(real, imaginary);
    addPowers(real, imaginary, sums, at);
  };
}

/** Take the transform of before + i after apart (each is that of real numbers), and add the powers. */
function addPowers(real, imaginary, [before, after, common], at) {
  const size = real.length;
  for (let k = 0; k < size / 2; k += 1) {
    const mirror = (size - k) % size;
    const re = (real[k] + real[mirror]) / 2;
    const im = (imaginary[k] - imaginary[mirror]) / 2;
    const afterRe = (imaginary[k] + imaginary[mirror]) / 2;
    const afterIm = (real[mirror] - real[k]) / 2;
    before[at + k] += re * re + im * im;
    after[at + k] += afterRe * afterRe + afterIm * afterIm;
    common[at + k] += re * afterRe + im * afterIm;
  }
}

/** Return a Fourier transform in place for a size that is a power of two (Cooley and Tukey, 1965). */
function makeFft(size) {
  const cosines = Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
  const sines = Float64Array.from({ length: size / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / size));
  return (real, imaginary) => {
    reorder(real, imaginary);
    for (let half = 1; half < size; half *= 2) {
      const step = size / 2 / half;
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k += 1) {
          const [upper, lower] = [start + k, start + k + half];
          const [c, s] = [cosines[k * step], sines[k * step]];
          const re = real[lower] * c - imaginary[lower] * s;
          const im = real[lower] * s + imaginary[lower] * c;
          real[lower] = real[upper] - re;
          imaginary[lower] = imaginary[upper] - im;
          real[upper] += re;
          imaginary[upper] += im;
        }
      }
    }
  };
}

/** Put each value where its index, its bits read backwards, says. */
function reorder(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i += 1) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
}
