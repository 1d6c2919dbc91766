/** Finds spectrograms beside the page: of what it was given, and of it mixed as strength says. */

import { decibels, mean, spectra } from "./spectrogram.js";

let found = null;

self.onmessage = ({ data }) => {
  if (data.before) {
    found = spectra(mean(data.before), mean(data.after), data.sampleRate);
    send("before", 0);
  }
  send("after", data.strength);
};

function send(which, strength) {
  const spectrogram = decibels(found, strength);
  self.postMessage({ which, ...spectrogram }, [spectrogram.db.buffer]);
}
