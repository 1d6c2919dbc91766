"""Denoising over HTTP: denoise serve."""
