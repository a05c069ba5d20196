"""Where a request comes from: which address, through which proxy, and from which site.

Only the connection's own address is a fact; headers are believed from trusted proxies alone. The
server must not rewrite the address by itself (uvicorn: proxy_headers=False).
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from worklist.parts import Parts

_OWN_SITE = frozenset({"same-origin", "none"})


def client_address(connection: HTTPConnection) -> str:
    """Of the browser, as far as it is known; behind a trusted proxy what that one says."""
    peer = _peer(connection)
    if not comes_by_trusted_proxy(connection):
        return peer
    # The last entry is the proxy's own; those before it are whatever the browser sent.
    told = ",".join(connection.headers.getlist("x-forwarded-for")).rpartition(",")[2]
    return _plain(told.strip()) or peer


def comes_by_trusted_proxy(connection: HTTPConnection) -> bool:
    """Whether the connection's own address is one of the trusted proxies'."""
    parts: Parts = connection.app.state.parts
    peer = _peer(connection)
    if parts.trusted_proxy is None or not _plain(peer):
        return False
    address = ipaddress.ip_address(peer)
    return any(
        address in ipaddress.ip_network(trusted, strict=False)
        for trusted in parts.trusted_proxy.addresses
    )


def named_by_proxy(connection: HTTPConnection) -> str | None:
    """Who signed in at a trusted proxy; None: nobody, or it is not said by one."""
    parts: Parts = connection.app.state.parts
    if parts.trusted_proxy is None or not comes_by_trusted_proxy(connection):
        return None
    told = connection.headers.getlist(parts.trusted_proxy.header)
    if len(told) != 1 or not told[0].strip():  # two: one of them came through from outside
        return None
    return told[0].strip().lower()


def is_from_own_site(connection: HTTPConnection) -> bool:
    """Whether a browser sent it from one of our pages, by what browsers let no page forge.

    Sec-Fetch-Site decides where it is sent (by https and from localhost), else the Origin's host.
    Neither: no browser of the last years, which nobody else's page can use.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN_SITE
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")


def _peer(connection: HTTPConnection) -> str:
    host = "" if connection.client is None else connection.client.host
    return _plain(host) or host


def _plain(text: str) -> str:
    """An address in one spelling, IPv4 within IPv6 (::ffff:10.0.0.5) as IPv4; "": it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
