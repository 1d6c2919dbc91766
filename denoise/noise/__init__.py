"""Noise: generated, or drawn from recordings, and mixed with speech at a given SNR.

It imports `util`, `dsp`, `containers` and `corpus`. Start with `mixing`, which mixes any noise type
with speech. `generators` computes noise, and `textures` the noise that imitates everyday sounds;
`sources` draws noise from recordings, which `importer` has put into `archive`.
"""
