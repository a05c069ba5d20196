"""`SignInThrottle`: failed sign-ins per address, against guessing over many accounts.

Kept in memory: the page is one process, and a restart that forgets them does little harm beside
the lock of each account.
"""

import ipaddress
import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

_IPV6_PREFIX = 64


class SignInThrottle:
    """So many failures within a time make an address wait. Safe to share between threads."""

    def __init__(
        self,
        failures: int = 30,
        within: timedelta = timedelta(minutes=5),
        addresses: int = 10_000,
    ) -> None:
        """Remember at most `addresses` of them; whoever failed longest ago is forgotten first."""
        self._failures = failures
        self._within = within
        self._addresses = addresses
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, deque[datetime]] = OrderedDict()

    def admit(self, address: str, now: datetime) -> timedelta | None:
        """Count an attempt as failed for now; not None: it must wait so long instead."""
        key = _network(address)
        with self._lock:
            times = self._seen.setdefault(key, deque())
            while times and times[0] <= now - self._within:
                times.popleft()
            if len(times) >= self._failures:
                return times[0] + self._within - now
            times.append(now)
            self._seen.move_to_end(key)
            while len(self._seen) > self._addresses:
                self._seen.popitem(last=False)
            return None

    def forgive(self, address: str) -> None:
        """The attempt counted last was no failure."""
        with self._lock:
            times = self._seen.get(_network(address))
            if times:
                times.pop()


def _network(address: str) -> str:
    """An IPv6 host has as many addresses as it likes within its /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX), strict=False))
