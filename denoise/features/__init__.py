"""The spectrogram caches that training reads.

It imports `util`, `dsp`, `corpus` and `noise`. Start with `build`, which mixes every clip with
noise and writes the spectrograms of both; `cache` is the file format.
"""
