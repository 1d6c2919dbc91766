"""Signal processing on arrays, and decoding audio into them.

Everything here is a pure function of arrays, except for `audio`, which decodes files. It imports
`util` and the modules directly under `denoise`; never TensorFlow, and never librosa. Start with
`stft`: the same transform serves the caches, training, the command line and the server.
"""
