"""The ports of the settings, tried before a service starts: who holds one, and what to do."""

import errno
import os
import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from worker.errors import PortRefused
from worker.settings import Settings

_LONGEST_COMMAND = 160
_LISTENING = "0A"
"""State of a socket in /proc/net/tcp."""


class PortUse(NamedTuple):
    """A port that a service listens on, with the names of its settings."""

    setting: str
    host_setting: str
    host: str
    port: int


def listener_ports(settings: Settings) -> list[PortUse]:
    """Return the ports of the DICOM listener: plain, TLS or both."""
    own = settings.listener
    plain = [PortUse("listener.port", "listener.host", own.host, own.port)]
    tls = [PortUse("listener.tls.port", "listener.host", own.host, own.tls.port)]
    return [*(plain if own.plain else []), *(tls if own.tls.certificate is not None else [])]


def worklist_port(settings: Settings) -> PortUse:
    """Return the port of the worklist."""
    own = settings.worklist
    return PortUse("worklist.port", "worklist.host", own.host, own.port)


def monitor_port(settings: Settings) -> PortUse:
    """Return the port of the monitor."""
    own = settings.monitor
    return PortUse("monitor.port", "monitor.host", own.host, own.port)


def all_ports(settings: Settings) -> list[PortUse]:
    """Return every port that `up` listens on."""
    return [*listener_ports(settings), worklist_port(settings), monitor_port(settings)]


def require_free(ports: Sequence[PortUse]) -> None:
    """Listen on each port for a moment, on all at once.

    Without SO_REUSEPORT, which would share a port with a program that listens already.

    Raises:
        PortRefused: one cannot be listened on.
    """
    with ExitStack() as sockets:
        taken: dict[int, PortUse] = {}
        for use in ports:
            try:
                family = socket.AF_INET6 if ":" in use.host else socket.AF_INET
                sockets.enter_context(socket.create_server((use.host, use.port), family=family))
            except OSError as error:
                raise PortRefused(explain(use, error, taken.get(use.port))) from None
            taken[use.port] = use


def explain(use: PortUse, error: OSError, same_port: PortUse | None = None) -> str:
    """Return why a port cannot be listened on, and what to do about it.

    `same_port`: what else of the settings has this port.
    """
    what = f"{use.setting} {use.port} on {use.host}"
    if error.errno == errno.EADDRINUSE and same_port is not None:
        return f"{what} is {same_port.setting}, too: give one of them another port"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{what} is in use by {_holder(use.port)}: stop that one, or set another {use.setting}"
        )
    if error.errno == errno.EACCES:
        return (
            f"{what} is kept for root, as are all ports below {_first_ordinary_port()}: set "
            f"{use.setting} to a higher one (11112 is registered for DICOM), or let this service "
            "have it: AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or as root "
            f"sysctl net.ipv4.ip_unprivileged_port_start={use.port}"
        )
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return (
            f"{use.host_setting} {use.host} is no address of this machine: set one that "
            '`ip address` shows, or "0.0.0.0" for all of them'
        )
    return f"{what} cannot be listened on ({error.strerror}): set another {use.setting}"


def _first_ordinary_port() -> str:
    try:
        return Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip()
    except OSError:
        return "1024"


def _holder(port: int) -> str:
    """Return "process 17 (its command)", as far as we may see it."""
    inodes = {inode for name in ("tcp", "tcp6") for inode in _listening(name, port)}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            links = {os.readlink(link) for link in (folder / "fd").iterdir()}
            if any(f"socket:[{inode}]" in links for inode in inodes):
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                return f"process {folder.name} ({' '.join(words).strip()[:_LONGEST_COMMAND]})"
        except OSError:
            continue  # another user's, or just gone
    return "a process of another user (`ss -ltnp` as root names it)"


def _listening(name: str, port: int) -> list[str]:
    """Return the inodes of sockets that listen on `port`, as /proc/net/`name` has them."""
    try:
        rows = [line.split() for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    except OSError:
        return []
    end = re.compile(f":{port:04X}$")
    return [row[9] for row in rows if row[3] == _LISTENING and end.search(row[1])]
