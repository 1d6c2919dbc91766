"""Speech corpora: where they come from, the archive they are stored in, and their splits.

Every source (Kaggle, open data, a local folder, the synthesiser) produces one archive with one
layout. The package imports `util`, `dsp` and `containers`. Start with `archive`, which defines the
layout. Then read `manifest`, which samples utterances and splits them by speaker, and `loader`,
which decodes the clips that a manifest lists.
"""
