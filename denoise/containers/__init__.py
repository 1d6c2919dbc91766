"""Audio files as bytes: which container a file is, and which recordings it consists of.

libsndfile reads only the first of several joined recordings, and believes sizes in headers that a
recorder never completed. This package finds out the truth. It imports `dsp` and the modules
directly under `denoise`. Start with `recording_parts`; `decoding` reads all that it finds.
"""
