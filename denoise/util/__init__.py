"""Small things that do not depend on audio: files written atomically, and malloc settings.

It imports only the modules directly under `denoise`. Start with `atomic`: every file that the
pipeline writes goes through it. Files at paths that a user names go through `paths`.
"""
