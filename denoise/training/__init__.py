"""Training the denoiser: batches, augmentation, losses, the optimiser and the training loop.

It imports `util`, `dsp`, `noise`, `features` and `network`, and TensorFlow. Start with `trainer`,
the loop over epochs; `data` draws its batches and `losses` is what it minimises.
"""
