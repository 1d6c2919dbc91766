"""Denoise arrays, streams and files with a trained network.

This package imports `util`, `dsp`, `containers` and `network`, and TensorFlow only for a saved
model; it runs an exported network with onnxruntime. Start with `denoiser`, the Python API.
`streaming` is the block-by-block algorithm, `high_band` treats the frequencies above the network's
band, and `file_denoiser` denoises files.
"""
