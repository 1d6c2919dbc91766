"""Signal processing on arrays, and decoding audio into them.

All functions are pure functions of arrays, except in `audio`, which decodes files, and `formats`,
which works on file names. The package imports `util` and the modules directly under `denoise`, and
never TensorFlow or librosa. Start with `stft`: the feature caches, training, the command line and
the server use the same transform.
"""
