/** Finds spectrograms beside the page: of what it was given, and of it mixed as strength says. */

import { spectrogram } from "./spectrogram.js";

let clip = null;

self.onmessage = ({ data }) => {
  if (data.before) {
    clip = data;
    self.postMessage({ which: "before", clip: clip.id, ...spectrogram(clip.before, clip.sampleRate) });
  }
  const mixed = clip.before.map((sample, i) => sample + data.strength * (clip.after[i] - sample));
  self.postMessage({ which: "after", clip: clip.id, ...spectrogram(mixed, clip.sampleRate) });
};
