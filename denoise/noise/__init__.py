"""Noise: generated, or drawn from recordings, and mixed with speech at a given SNR.

It imports `util`, `dsp` and `corpus`. Start with `generators`, the noise types that are computed;
`sources` draws those that are made of recordings, which `importer` has put into `archive`.
"""
