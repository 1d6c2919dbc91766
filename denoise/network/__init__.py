"""The networks, and how they are saved and loaded.

It imports `util` and `dsp`, and TensorFlow (`spec` and `npz_store` do without). Start with
`architectures`; then `saved_model`, a folder with a network's config and weights. `spec` is what
inference needs to know of a network: its spectrograms and its receptive field.
"""
