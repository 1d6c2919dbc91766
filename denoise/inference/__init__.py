"""Denoising recordings with a trained network: arrays, streams and files.

It imports `util`, `dsp` and `network` (whose TensorFlow part is loaded for a saved model alone),
and runs the exported network with onnxruntime. Start with `denoiser`, the Python API; `streaming`
is the block-by-block algorithm under it, and `file_denoiser` applies it to files.
"""
