"""Exporting a Keras network to ONNX, with the same bytes every time.

It imports `network` and the `onnx` package. Start with `keras_to_onnx`.
"""
