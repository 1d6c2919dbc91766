"""The names that the server answers to.

A page of another site can point its own name at this machine (DNS rebinding), and is then of one
origin with the server. It cannot choose the Host that a browser sends: that is its own name.
"""

import ipaddress
import re
from dataclasses import dataclass

from denoise.server.problems import ProblemError

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/?#@,\s]+?)\.?(:\d*)?", re.IGNORECASE)
ANY_HOST = ("livez", "readyz")  # views: who watches a server has names of its own for it
REFUSAL = (
    "The server does not answer to the name in the header Host. Use its address, or start it with "
    "--allow-host and that name."
)


@dataclass(frozen=True)
class Hosts:
    """Where the server listens, and the further names that it was told of."""

    bound: str = "127.0.0.1"
    allowed: frozenset[str] = frozenset()

    def check(self, header: str | None, has_token: bool) -> None:
        """Raise ProblemError where a Host header names another server; HTTP/1.0 has none."""
        if header and not self._is_known(_name(header), has_token):
            raise ProblemError("unknown-host", REFUSAL)

    def _is_known(self, name: str, has_token: bool) -> bool:
        if is_loopback(name) or name in {*self.allowed, self.bound.lower()}:
            return True
        # On the network an address is the server's own, and no such page has the token.
        return not is_loopback(self.bound) and (_address(name) is not None or has_token)


def _name(header: str) -> str:
    """Return the name in a Host header, in small letters, or nothing where it is malformed."""
    found = HOST.fullmatch(header.strip())
    return found[1].strip("[]").lower() if found else ""


def parse(text: str) -> str:
    """Return a name as `Hosts` compares it; raises ValueError for what is more than a name."""
    found = HOST.fullmatch(text)
    if found is None or found[2] is not None:
        raise ValueError(text)
    return _name(text)


def is_loopback(name: str) -> bool:
    """Tell whether a name or an address stands for this machine alone."""
    address, name = _address(name), name.lower()
    return address.is_loopback if address else f".{name}".endswith(".localhost")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
