"""The built-in corpus: digits or sentences, synthesised by eSpeak NG with many voices and rooms.

It imports `util`, `dsp` and other modules of `corpus`. Start with `build`, which writes the corpus
that `planning` draws. `sentences` makes text from grammars, and `delivery` speaks it in different
styles. `espeak` wraps the library, `voices` defines its voices, and `acoustics` simulates breath,
microphone and room.
"""
