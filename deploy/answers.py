"""Health check: ends with 0 if a web page of this container answers 200. Standard library alone.

Usage: python answers.py http://127.0.0.1:8080/sign-in
"""

import http.client
import ssl
import sys
from urllib.parse import urlsplit

TIMEOUT_S = 10


def status_of(url: str) -> int:
    """HTTP status of a GET; no proxy, no redirect, any certificate: it asks its own machine."""
    parts = urlsplit(url)
    host = parts.netloc
    if parts.scheme == "https":
        anyone = ssl._create_unverified_context()  # noqa: S323  # the name is not 127.0.0.1
        connection = http.client.HTTPSConnection(host, timeout=TIMEOUT_S, context=anyone)
    else:
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    connection.request("GET", parts.path or "/")
    return connection.getresponse().status


def main(url: str) -> None:
    """Exit with 1 and a word why, or with 0."""
    try:
        status = status_of(url)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{url}: {error!r}")
    if status != http.client.OK:
        sys.exit(f"{url}: status {status}")


if __name__ == "__main__":
    main(sys.argv[1])
