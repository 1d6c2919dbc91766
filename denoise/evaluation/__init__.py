"""Evaluation of the denoiser: metrics, test conditions, tables, plots and example recordings.

It imports `util`, `dsp`, `corpus`, `noise` and `network.spec`. Start with `run`, which denoises and
scores every test clip; `metrics` computes the scores, and `tables` summarises them.
"""
