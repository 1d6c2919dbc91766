"""What the server and its client share."""

import os

from denoise.errors import UsageError

TOKEN_VARIABLE = "DENOISE_TOKEN"  # the environment variable that holds the token


def read_token(option: str | None) -> str | None:
    """Return the token of `--token`, or of the environment; None where there is none.

    Raises UsageError for a token that no header can hold.
    """
    token = option or os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and not (
        token.isascii() and token.isprintable() and token == token.strip()
    ):
        raise UsageError(
            "A token consists of printable ASCII characters, with no space at either end; this one "
            "does not."
        )
    return token
