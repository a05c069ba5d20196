"""TCP ports on loopback that no other test process is given as long as this one lives."""

import itertools
import os
import socket

_FIRST, _LAST = 20000, 29999
"""Below what Linux gives to outgoing connections (from 32768): none can take a port of ours."""

_claims: list[socket.socket] = []
_next = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """A port that nobody listens on now, and that is ours until this process ends."""
    for _ in range(_LAST - _FIRST + 1):
        port = _FIRST + next(_next) % (_LAST - _FIRST + 1)
        if _claim(port) and _is_free(port):
            return port
    raise RuntimeError(f"no free port from {_FIRST} to {_LAST}")


def _claim(port: int) -> bool:
    """Whether it is ours: by a name in the kernel that ends with us, however we die (unix(7))."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0fracture-screen-tests-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
