"""Denoise: clean speech recordings, and the pipeline that learns how."""
