"""The built-in corpus: spoken digits synthesised by eSpeak NG in many voices and rooms.

It imports `util`, `dsp` and the archive of `corpus`. Start with `build`, which draws the speakers
and writes the corpus; `espeak` wraps the library, `voices` shapes its voices, and `acoustics`
simulates breath, microphone and room.
"""
