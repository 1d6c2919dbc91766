/** Finds spectrograms and the level of the noise beside the page, again whenever the strength changes. */

import { HEARD, shares } from "./mix.js";
import { noiseLevel } from "./noise-level.js";
import { decibels, mean, spectra } from "./spectrogram.js";

let found = null;

self.onmessage = ({ data }) => {
  if (data.before) found = spectra(mean(data.before), mean(data.after), data.sampleRate);
  const wanted = data.before ? HEARD : HEARD.slice(1); // the strength does not change what was before
  for (const heard of wanted) send(heard, data.strength);
  self.postMessage({ noise: noiseLevel(found, shares("after", data.strength)) });
};

function send(heard, strength) {
  const spectrogram = decibels(found, shares(heard, strength));
  self.postMessage({ heard, spectrogram }, [spectrogram.db.buffer]);
}
