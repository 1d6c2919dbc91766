"""Helpers that do not depend on audio: atomic writes, work in several processes, cores, malloc.

It imports only the modules directly under `denoise`. Start with `atomic`: every file that the
pipeline writes goes through it. Files at paths that a user names go through `paths`.
"""
