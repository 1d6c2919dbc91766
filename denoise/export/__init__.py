"""Exports a Keras network to an ONNX file that has the same bytes every time.

It imports the `onnx` package, and Keras. Start with `keras_to_onnx`.
"""
