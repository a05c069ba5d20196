"""The embedded broker: kombu's filesystem transport, with messages that appear and go whole.

kombu's own writes a message under its final name and takes it by way of the system's temporary
folder: a worker that was quicker than the writer read an empty file and died of it (seen under
load), and messages left the data folder.
"""

import os
import time
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

import structlog
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

SCHEME = "messagefiles"

_log = structlog.get_logger(__name__)


def register_transport() -> None:
    """Make `messagefiles://` known to kombu."""
    TRANSPORT_ALIASES.setdefault(SCHEME, f"{__name__}:Transport")


class Channel(filesystem.Channel):
    """A folder of messages, named <time>_<unique>.<queue>.msg."""

    def _put(  # type: ignore[override]  # as filesystem.Channel, not as its abstract base
        self, queue: str, payload: Any, **kwargs: Any
    ) -> None:
        """Write a message (Any: kombu's envelope). ChannelError: the folder cannot be written."""
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020d}_{uuid4().hex}.{queue}.msg"
        temporary = folder / f".{name}.new"
        try:
            temporary.write_text(_as_json(payload))
            temporary.rename(folder / name)
        except OSError as error:
            raise ChannelError(f"cannot write a message into {folder}: {error.strerror}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """Take the oldest message (Any: kombu's envelope). Empty: there is none."""
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] == f"{queue}.msg":
                content = _take(folder / name)
                if content is not None:
                    return content
        raise Empty


def _as_json(message: Any) -> str:  # Any: kombu's envelope
    return str(dumps(message))  # type: ignore[no-untyped-call]  # kombu's is untyped


def _take(path: Path) -> Any:  # Any: kombu's envelope
    """The message, which nobody else gets; None if somebody else was quicker."""
    taken = path.with_name(f".{path.name}.taken")
    try:
        path.rename(taken)
    except FileNotFoundError:
        return None
    text = taken.read_text()
    taken.unlink()
    try:
        return loads(text)  # type: ignore[no-untyped-call]  # kombu's is untyped
    except ValueError:  # half written before a power cut; the dispatcher publishes it again
        _log.error("message_unreadable", message_file=path.name)
        return None


class Transport(filesystem.Transport):
    """As kombu's, with our channel."""

    Channel = Channel
