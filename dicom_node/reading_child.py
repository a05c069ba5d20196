"""The process that reads and decodes for `BoundedReader`: started by it, never by people.

Whatever the bytes of a peer do to a decoder, they do here: memory has a limit, each instance an
alarm clock, a crash ends this process alone. Answers hold no pickles, so that a decoder gone astray
cannot speak for us. This isolates faults; it is no sandbox against code run on purpose.
"""

import importlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from dicom_node.errors import UnreadableInstance
from dicom_node.radiograph import NotEligible, PixelLimits, Radiograph

Read = Callable[..., Sequence[Radiograph]]
Answer = dict[str, Any]
"""Any: JSON values."""

LARGEST_MESSAGE = 128 * 1024
ORPHAN_GRACE_S = 5


def main(descriptor: int, reader: str, memory_bytes: int) -> None:
    """Answer requests on a socket (SOCK_SEQPACKET) until its other end is closed."""
    read = import_reader(reader)
    _limit_memory(memory_bytes)
    with socket.socket(fileno=descriptor) as parent:
        while message := parent.recv(LARGEST_MESSAGE):
            request = json.loads(message)
            # Should the parent die meanwhile, nobody else would end a decoder that hangs.
            signal.alarm(int(request["timeout_s"]) + ORPHAN_GRACE_S)
            answer, pixels = _answer(read, request)
            signal.alarm(0)
            _send(parent, answer, pixels)
            if answer["kind"] == "out_of_memory":
                return


def import_reader(name: str) -> Read:
    """The function named "package.module:function"."""
    module, _, function = name.partition(":")
    return cast(Read, getattr(importlib.import_module(module), function))


def _limit_memory(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # A core dump would hold a patient's radiograph.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(read: Read, request: Answer) -> tuple[Answer, int | None]:
    try:
        radiographs = read(
            Path(request["path"]),
            limits=PixelLimits(**request["limits"]),
            scope=None if request["scope"] is None else frozenset(request["scope"]),
            **({"site_words": request["site_words"]} if request["site_words"] else {}),
        )
        shapes = [one.pixels.shape for one in radiographs]
        notes = list(radiographs[0].notes) if radiographs else []
        return {"kind": "radiographs", "shapes": shapes, "notes": notes}, _share(
            [one.pixels for one in radiographs]
        )
    except NotEligible as error:
        return {"kind": "not_eligible", "reason": error.reason, "detail": error.detail}, None
    except UnreadableInstance as error:
        return {"kind": "unreadable", "message": str(error)}, None
    except MemoryError:
        return {"kind": "out_of_memory"}, None
    except Exception as error:  # the boundary of the process; the text may hold patient data
        return {"kind": "broke", "error": type(error).__name__}, None


def _share(frames: Sequence[np.ndarray[Any, Any]]) -> int:
    """A memory file with all frames' float32 values, one after the other."""
    descriptor = os.memfd_create("radiographs")
    for frame in frames:
        # Written, not copied into a map: no page fault for every 4 KiB.
        rest = np.ascontiguousarray(frame, np.float32).reshape(-1).view(np.uint8).data
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    return descriptor


def _send(parent: socket.socket, answer: Answer, pixels: int | None) -> None:
    message = json.dumps(answer).encode()
    if pixels is None:
        parent.send(message)
        return
    socket.send_fds(parent, [message], [pixels])
    os.close(pixels)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
