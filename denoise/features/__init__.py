"""What training reads: caches of spectrograms, or banks of waveforms.

It imports `util`, `dsp`, `corpus` and `noise`. Start with `build`, which fills what
`features.cache` names. `cache` holds the spectrograms of every clip, clean and mixed with noise;
`bank` holds speech and noise as int16 samples, which training mixes.
"""
