"""Values that many requests want and that may be some seconds old."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Recent(Generic[_Value]):
    """What `fetch` gave, kept for `seconds`. Of threads that want it anew, one fetches."""

    def __init__(self, fetch: Callable[[], _Value], seconds: float) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: tuple[float, _Value] | None = None

    def get(self) -> _Value:
        """Raises what `fetch` raises."""
        with self._lock:
            now = time.monotonic()
            if self._kept is None or now - self._kept[0] > self._seconds:
                self._kept = (now, self._fetch())
            return self._kept[1]
