"""The built-in corpus: spoken digits synthesised by eSpeak NG with many voices and rooms.

It imports `util`, `dsp` and other modules of `corpus`. Start with `build`, which draws the speakers
and writes the corpus. `espeak` wraps the library, `voices` defines its voices, and `acoustics`
simulates breath, microphone and room.
"""
