"""Names that the server and its client share. This module imports nothing."""

TOKEN_VARIABLE = "DENOISE_TOKEN"  # the environment variable that holds the token
