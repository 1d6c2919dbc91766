"""The check of the Host header, which protects against DNS rebinding.

In DNS rebinding, a page of another site points its own domain name at this machine. The browser
then treats the page and this server as one origin. The page cannot choose the Host header, however:
the browser sends the page's own domain name there.
"""

import ipaddress
import re
from dataclasses import dataclass

from denoise.server.problems import ProblemError

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/?#@,\s]+?)\.?(:\d*)?", re.IGNORECASE)
ANY_HOST = ("livez", "readyz")  # views that skip the check: monitors use names of their own
REFUSAL = (
    "The name in the Host header is not one of this server's names. Use the server's address, "
    "or start the server with --allow-host and this name."
)


@dataclass(frozen=True)
class Hosts:
    """The host that the server is bound to, and the further names that it accepts."""

    bound: str = "127.0.0.1"
    allowed: frozenset[str] = frozenset()

    def check(self, header: str | None, has_token: bool) -> None:
        """Raise ProblemError where the Host header names another server.

        A request without the header passes, since HTTP/1.0 has none.
        """
        if header and not self._is_known(_name(header), has_token):
            raise ProblemError("unknown-host", REFUSAL)

    def _is_known(self, name: str, has_token: bool) -> bool:
        if is_loopback(name) or name in {*self.allowed, self.bound.lower()}:
            return True
        # A server on the network accepts every IP address, which no rebinding page can have in its
        # Host header, and with a token every name, since such a page does not know the token.
        return not is_loopback(self.bound) and (_address(name) is not None or has_token)


def _name(header: str) -> str:
    """Return the name in a Host header in lower case, or "" where the header is malformed."""
    match = HOST.fullmatch(header.strip())
    return match[1].strip("[]").lower() if match else ""


def parse(text: str) -> str:
    """Normalise a host name as `Hosts` compares it; raises ValueError where it has a port."""
    match = HOST.fullmatch(text)
    if match is None or match[2] is not None:
        raise ValueError(text)
    return _name(text)


def is_loopback(name: str) -> bool:
    """Tell whether a host name or an address belongs to this machine alone."""
    address, name = _address(name), name.lower()
    return address.is_loopback if address else f".{name}".endswith(".localhost")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
