"""Speech corpora: where they come from, the archive they are stored in, and their splits.

Every source (Kaggle, a local folder, the synthesiser) ends in one archive with one layout. It
imports `util` and `dsp`. Start with `archive`, the layout; then `manifest`, which draws utterances
and splits them by speaker, and `loader`, which decodes the clips that a manifest names.
"""
