"""The command line: `denoise IN... [-o OUT]`, `denoise serve`, `denoise client`, `denoise live`.

It may import every other package, but only inside functions: numpy and onnxruntime are loaded only
when there is something to denoise. Start with `main`; `io_plan` decides what is read and written.
"""
