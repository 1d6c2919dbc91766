"""Origins of web pages, compared by scheme, host and port.

A port that is not written is the scheme's default, and upper and lower case count as the same.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from denoise.server.host_check import is_loopback

PORTS = {"http": 80, "https": 443}
ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^\[\]:/?#@\s]+)(:\d*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """The scheme, host and port of a page."""

    scheme: str
    host: str
    port: int

    @staticmethod
    def parse(text: str) -> "Origin":
        """Read an Origin header; raises ValueError for anything but a scheme, a host and a port."""
        if not ORIGIN.fullmatch(text):
            raise ValueError(text)
        parts = urlsplit(text)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
        port = PORTS[scheme] if parts.port is None else parts.port
        if not host or port == 0:
            raise ValueError(text)
        return Origin(scheme, host, port)


def is_own(header: str, host: str) -> bool:
    """Tell whether an Origin header names the server that the Host header names.

    The server itself speaks HTTP. A proxy that speaks HTTPS for it passes on its own name, which
    is never that of the loopback interface; the default port is then that of HTTPS.
    """
    try:
        origin = Origin.parse(header)
        own = Origin.parse(f"{origin.scheme}://{host}")
    except ValueError:
        return False
    return origin == own and (origin.scheme == "http" or not is_loopback(origin.host))
