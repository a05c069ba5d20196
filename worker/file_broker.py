"""The embedded broker: kombu's filesystem transport, with files that appear whole or not at all.

kombu's own writes messages and exchange tables in place (measured with kombu 5.7): a reader that
comes in between gets an empty file and its worker ends with JSONDecodeError, and a writer that is
killed in between leaves an exchange table that no process can start with. It also moves messages
through the system's temporary folder. Celery as before; the ledger remains the outbox.
"""

import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

import structlog
from kombu.connection import Connection
from kombu.transport import filesystem

from worker.folder_watch import FolderWatch, watch_if_possible

_log = structlog.get_logger(__name__)

TRANSPORT = f"{__name__}:Transport"
"""What Celery's `broker_transport` is set to."""

_LOOK_EVERY_S = 0.5
"""Even if no file came: of files that another machine writes, the system does not tell."""

_Route = tuple[str, str, str]
"""Routing key, pattern, queue."""


class Channel(filesystem.Channel):
    """The places where kombu touches a file of messages or of routes."""

    def get_table(self, exchange: str) -> list[_Route]:
        """The routes of an exchange; one that cannot be read has none and is written anew."""
        try:
            table = json.loads(self._table(exchange).read_bytes())
            return [filesystem.exchange_queue_t(*route) for route in table]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError):
            _log.error("exchange_table_damaged", exchange=exchange)
            return []

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        route = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self.control_folder.mkdir(exist_ok=True)
        with _locked(self.control_folder / ".lock"):
            routes = self.get_table(exchange)
            if route not in routes:
                _write_whole(self._table(exchange), [route, *routes])

    def _delete(self, queue: str, exchange: str, routing_key: str, *args: Any, **_: Any) -> None:
        """Routes stay: our queues are fixed. Any: kombu's own arguments."""

    def _put(  # type: ignore[override]  # kombu names the argument in two ways
        self, queue: str, payload: dict[str, Any], **_: Any
    ) -> None:
        # Wall-clock time, so that the order outlasts a restart of the machine.
        name = f"{time.time_ns():020}_{uuid4()}.{queue}.msg"
        _write_whole(Path(self.data_folder_out) / name, payload)

    def _get(self, queue: str, timeout: object = None) -> dict[str, Any]:  # Any: JSON
        for path in self._messages(queue):
            taken = path.with_suffix(".taken")
            try:
                # Of several workers, one succeeds.
                path.rename(taken)
            except FileNotFoundError:
                continue
            content = taken.read_bytes()
            taken.unlink()
            try:
                message: dict[str, Any] = json.loads(content)
            except ValueError:
                _log.error("message_damaged", queue=queue, size=len(content))
                continue
            return message
        raise Empty

    def _reset_cycle(self) -> None:
        # kombu's own gives each queue its turn: triage would wait for the backlog.
        self._cycle = _InOrder(self._get_and_deliver, self._active_queues)

    def _size(self, queue: str) -> int:
        return len(self._messages(queue))

    def _purge(self, queue: str) -> int:
        found = self._messages(queue)
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _messages(self, queue: str) -> list[Path]:
        return sorted(Path(self.data_folder_in).glob(f"*.{queue}.msg"))

    def _table(self, exchange: str) -> Path:
        return Path(self.control_folder) / f"{exchange}.exchange"


class _InOrder:
    """Takes the next message from the first queue that has one, as kombu's cycles are used."""

    def __init__(self, get: Callable[..., object], queues: Sequence[str]) -> None:
        self._get, self._queues = get, queues

    def get(self, callback: object, **options: object) -> object:
        """Raises Empty where none has one."""
        for queue in self._queues:
            with suppress(Empty):
                return self._get(queue, callback, **options)
        raise Empty

    def close(self) -> None:
        """Nothing is held."""


class Transport(filesystem.Transport):
    """For `broker_transport`; options as kombu's filesystem transport takes them.

    `polling_interval` holds where the system cannot tell of new files.
    """

    Channel = Channel

    def __init__(self, client: Connection, **options: Any) -> None:
        """Connect to nothing. Any: kombu's own arguments."""
        super().__init__(client, **options)  # type: ignore[no-untyped-call]  # kombu's is untyped
        self._messages = Path((client.transport_options or {})["data_folder_in"])
        self._arrivals: FolderWatch | None = None
        self._tried_to_watch = False

    def drain_events(  # type: ignore[override]  # kombu passes no other argument
        self, connection: object, timeout: float | None = None
    ) -> None:
        """Take a message to its consumer; raises TimeoutError where none comes in that time."""
        arrivals = self._watch()  # before the first look: nothing may come in between
        until = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            with suppress(Empty):
                self.cycle.get(self._deliver, timeout=timeout)  # type: ignore[union-attr]  # set by kombu
                return
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if arrivals is None:
                time.sleep(min(left, self.polling_interval))
            else:
                arrivals.wait(min(left, _LOOK_EVERY_S))

    def close_connection(self, connection: object) -> None:
        """Close all channels, and stop watching."""
        super().close_connection(connection)  # type: ignore[no-untyped-call]  # as above
        if self._arrivals is not None:
            self._arrivals.close()
        self._arrivals, self._tried_to_watch = None, False

    def _watch(self) -> FolderWatch | None:
        if not self._tried_to_watch:
            self._tried_to_watch = True
            self._arrivals = watch_if_possible(self._messages, lambda name: name.endswith(".msg"))
        return self._arrivals


def _write_whole(path: Path, content: object) -> None:
    """Not fsynced: a message lost in a power cut is published again from the ledger."""
    temporary = path.with_name(f".{uuid4()}.tmp")
    try:
        temporary.write_text(json.dumps(content))
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
