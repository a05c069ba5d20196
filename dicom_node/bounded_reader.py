"""Reads radiographs in a child process kept warm, under limits of time and memory.

A decoder that crashes, hangs or swallows memory ends the child and raises ReadingFailed; the next
instance gets a fresh one.
"""

import json
import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_node.errors import ReadingFailed, UnreadableInstance
from dicom_node.radiograph import (
    NotEligible,
    PixelLimits,
    Radiograph,
    Reason,
    radiographs_from,
    read_header,
)
from dicom_node.reading_child import LARGEST_MESSAGE
from dicom_node.stated_body_part import SiteWords

_CHILD_MODULE = "dicom_node.reading_child"
_START_DEADLINE_S = 60.0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    connection: socket.socket


class BoundedReader:
    """`read` is `read_radiographs` in another process. Safe to call from several threads, in turn.

    `timeout_s` seconds and `memory_bytes` of address space are what one instance may take.
    `reader` names the function that reads, as "package.module:function". `site_words` are the
    site's own words for body parts.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        memory_bytes: int,
        reader: str = "dicom_node.radiograph:read_radiographs",
        site_words: SiteWords | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._reader = reader
        self._site_words = dict(site_words or {})
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def read(
        self, path: Path, *, limits: PixelLimits, scope: Collection[str] | None
    ) -> list[Radiograph]:
        """As `read_radiographs`; raises ReadingFailed when the limits or the child end it."""
        request = {
            "path": str(path.absolute()),
            "limits": asdict(limits),
            "scope": None if scope is None else sorted(scope),
            "site_words": self._site_words,
            "timeout_s": self._timeout_s,
        }
        with self._lock:
            answer, descriptor = self._ask(request)
        if answer["kind"] != "radiographs" or descriptor is None:
            raise _error_from(answer, self._memory_bytes)
        # The child has parsed the same header within its limits just now.
        frames = _frames(answer["shapes"], descriptor)
        return radiographs_from(
            read_header(path), frames, answer["notes"], site_words=self._site_words
        )

    def start(self) -> None:
        """Start the child now, so that the first instance does not wait for it."""
        with self._lock:
            if self._child is None:
                self._start()

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end()

    def __enter__(self) -> "BoundedReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], int | None]:  # Any: JSON
        started = self._child is not None and self._child.process.poll() is None
        child = self._child if started and self._child is not None else self._start()
        # A fresh child first has to import its decoders.
        child.connection.settimeout(self._timeout_s + (0 if started else _START_DEADLINE_S))
        try:
            child.connection.send(json.dumps(request).encode())
            message, descriptors, _, _ = socket.recv_fds(child.connection, LARGEST_MESSAGE, 1)
        except TimeoutError:
            self._end()
            raise ReadingFailed(
                f"Reading an image took longer than {self._timeout_s:g} s."
            ) from None
        except OSError:
            message, descriptors = b"", []
        if not message:
            code = self._end()
            raise ReadingFailed(f"The image decoder ended unexpectedly ({_cause(code)}).")
        answer = json.loads(message)
        if answer["kind"] == "out_of_memory":
            self._end()
        return answer, next(iter(descriptors), None)

    def _start(self) -> _Child:
        self._end()
        ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with childs:
            # A session of its own: Ctrl-C is for us, and we end the child. Its output could quote
            # patient data.
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    _CHILD_MODULE,
                    str(childs.fileno()),
                    self._reader,
                    str(self._memory_bytes),
                ],
                pass_fds=[childs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._child = _Child(process, ours)
        return self._child

    def _end(self) -> int | None:
        child, self._child = self._child, None
        if child is None:
            return None
        child.connection.close()
        try:
            # After the connection closed, it ends by itself, and a crash tells its signal.
            return child.process.wait(0.5)
        except subprocess.TimeoutExpired:
            child.process.kill()
            return child.process.wait()


def _frames(shapes: Sequence[Sequence[int]], descriptor: int) -> list[NDArray[np.float32]]:
    sizes = [int(rows) * int(columns) for rows, columns in shapes]
    try:
        mapped = mmap.mmap(descriptor, max(4 * sum(sizes), 1))
    finally:
        os.close(descriptor)
    frames, offset = [], 0
    for (rows, columns), size in zip(shapes, sizes, strict=True):
        frame: NDArray[np.float32] = np.frombuffer(mapped, np.float32, size, offset)
        frames.append(frame.reshape(rows, columns))
        offset += 4 * size
    return frames


def _error_from(answer: dict[str, Any], memory_bytes: int) -> Exception:  # Any: JSON
    kind = answer["kind"]
    if kind == "not_eligible":
        return NotEligible(Reason(answer["reason"]), answer["detail"])
    if kind == "unreadable":
        return UnreadableInstance(answer["message"])
    if kind == "out_of_memory":
        return ReadingFailed(
            f"Reading an image needed more than {memory_bytes // MIB} MiB of memory."
        )
    return ReadingFailed(
        "The image reader failed. The log of the worker says why.", str(answer.get("error", ""))
    )


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit status {code}"
