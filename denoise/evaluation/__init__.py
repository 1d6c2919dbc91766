"""Measuring the denoiser: metrics, the test conditions, tables, plots and audio examples.

It imports `util`, `dsp`, `corpus`, `noise` and `network.spec`. Start with `run`, which denoises and
scores every test clip; `metrics` holds the measures, and `tables` sums them up.
"""
