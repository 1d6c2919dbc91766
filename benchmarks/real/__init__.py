"""The comparison on real recordings: any folders of clean speech and of noise, any denoiser.

`python -m benchmarks.real` runs it; docs/benchmark.md describes what it measures. Start reading in
`__main__`, then `recordings` and `mixtures` (the test set), `methods` (the denoisers) and `scores`.
"""
