/** Samples -> a spectrogram in decibels, as POST /v1/spectrogram has it: 0 dB is a full-scale sine. */

const WINDOW_SECONDS = 0.032;
const MOST_COLUMNS = 800;
const FLOOR = 1e-12; // -120 dB

/**
 * Float32Array -> { db, columns, rows, topHz }: db[column * rows + row], row 0 at 0 Hz; the bin at
 * half the rate is left out. Where there are more frames than columns, their powers are averaged.
 */
export function spectrogram(samples, sampleRate) {
  const size = 2 ** Math.round(Math.log2(WINDOW_SECONDS * sampleRate));
  const hop = size / 2;
  const frames = Math.floor(samples.length / hop) + 1;
  const columns = Math.min(frames, MOST_COLUMNS);
  const rows = size / 2;
  const powers = new Float64Array(columns * rows);
  const counts = new Float64Array(columns);
  const power = makePower(size);
  for (let frame = 0; frame < frames; frame += 1) {
    const column = Math.floor((frame * columns) / frames);
    counts[column] += 1;
    power(samples, frame * hop - hop, powers.subarray(column * rows, (column + 1) * rows));
  }
  const db = Float32Array.from(powers, (sum, i) => {
    return 10 * Math.log10(Math.max(FLOOR, sum / counts[Math.floor(i / rows)]));
  });
  return { db, columns, rows, topHz: sampleRate / 2 };
}

/** Return power(samples, start, sums), which adds a windowed frame's powers to sums. */
function makePower(size) {
  const window = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
  const fullScale = size / 4; // half the window's sum: what a full-scale sine gives
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  const transform = makeFft(size);
  return (samples, start, sums) => {
    for (let n = 0; n < size; n += 1) real[n] = window[n] * (samples[start + n] ?? 0);
    imaginary.fill(0);
    transform(real, imaginary);
    for (let k = 0; k < sums.length; k += 1) {
      sums[k] += (real[k] ** 2 + imaginary[k] ** 2) / fullScale ** 2;
    }
  };
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
