/** Samples -> spectrograms in decibels, as POST /v1/spectrogram has them: 0 dB is a full-scale sine. */

const WINDOW_SECONDS = 0.032;
const MAX_COLUMNS = 800;
const FLOOR = 1e-12; // -120 dB
const MIN_HZ = 60; // what is below is hardly heard

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
 * frames than columns, a column is a sum of several. `frames` has the same three sums by frame,
 * over all rows from 60 Hz on, for those frames that the recording fills.
 */
export function spectra(before, after, sampleRate) {
  const size = 2 ** Math.round(Math.log2(WINDOW_SECONDS * sampleRate));
  const hop = size / 2;
  const count = Math.floor(before.length / hop) + 1;
  const columns = Math.min(count, MAX_COLUMNS);
  const rows = size / 2;
  const sums = Array.from({ length: 3 }, () => new Float64Array(columns * rows));
  const frames = [[], [], []];
  const counts = new Float64Array(columns);
  const add = makeAdder(before, after, size, Math.ceil((MIN_HZ * size) / sampleRate));
  for (let frame = 0; frame < count; frame += 1) {
    const column = Math.floor((frame * columns) / count);
    counts[column] += 1;
    const start = frame * hop - hop;
    const totals = add(start, sums, column * rows);
    const isWhole = start >= 0 && start + size <= before.length;
    if (isWhole) frames.forEach((powers, i) => powers.push(totals[i]));
  }
  return { sums, frames, counts, columns, rows, topHz: sampleRate / 2 };
}

/** The spectrogram of left * before + right * after: { db, columns, rows, topHz }. */
export function decibels({ sums, counts, columns, rows, topHz }, [left, right]) {
  const db = new Float32Array(columns * rows);
  for (let i = 0; i < db.length; i += 1) {
    const power = powerOfMix(sums, i, left, right);
    db[i] = 10 * Math.log10(Math.max(FLOOR, power / counts[Math.floor(i / rows)]));
  }
  return { db, columns, rows, topHz };
}

/** The power of left * before + right * after at index i of their sums. */
export function powerOfMix([before, after, common], i, left, right) {
  return left * left * before[i] + right * right * after[i] + 2 * left * right * common[i];
}

/**
 * Return add(start, sums, at), which adds a windowed frame's powers to the sums from `at` on, and
 * returns their totals from the row `lowest` on.
 */
function makeAdder(before, after, size, lowest) {
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
    return addPowers(real, imaginary, sums, at, lowest);
  };
}

/** Take the transform of before + i after apart (each is that of real numbers), and add the powers. */
function addPowers(real, imaginary, [before, after, common], at, lowest) {
  const size = real.length;
  const totals = [0, 0, 0];
  for (let k = 0; k < size / 2; k += 1) {
    const mirror = (size - k) % size;
    const re = (real[k] + real[mirror]) / 2;
    const im = (imaginary[k] - imaginary[mirror]) / 2;
    const afterRe = (imaginary[k] + imaginary[mirror]) / 2;
    const afterIm = (real[mirror] - real[k]) / 2;
    const powers = [re * re + im * im, afterRe * afterRe + afterIm * afterIm, re * afterRe + im * afterIm];
    before[at + k] += powers[0];
    after[at + k] += powers[1];
    common[at + k] += powers[2];
    if (k >= lowest) powers.forEach((power, i) => { totals[i] += power; });
  }
  return totals;
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
