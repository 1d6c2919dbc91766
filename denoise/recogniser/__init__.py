"""Digit recognisers, a proxy for listening tests: how intelligible is the denoised speech?

It imports `util`, `dsp`, `corpus`, `noise`, `network` and the learning-rate schedule of `training`.
Start with `model`; `data` prepares what `train` trains it on.
"""
