"""What the server and its client agree on; nothing is imported here."""

TOKEN_VARIABLE = "DENOISE_TOKEN"  # the environment variable that holds the token
