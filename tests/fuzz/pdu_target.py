"""PDU intake: what a hostile peer sends to a real listener on loopback.

A case is one byte and a stream. The byte's bits 0 and 1 say how the peer goes (read the answers
until the association ends, close, reset, half-close and read), bit 2 that it doesn't wait for the
answer to its request, bit 3 that it sends in two parts.
"""

import logging
import os
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from pynetdicom.dul import DULServiceProvider

from dicom_node.commitment import CommitmentProvider
from dicom_node.commitment_scu import CommitmentReport
from dicom_node.errors import DicomNodeError
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.listener_guard import MIB, ListenerLimits
from dicom_node.received import describe_file
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import echo
from tests.fuzz.finding import Finding, bounded, require
from tests.fuzz.pdu_bytes import GRAMMAR, split_pdus, stored_uids, streams

__all__ = ["GRAMMAR", "PduTarget", "seeds"]

READ, CLOSE, RESET, HALF_CLOSE = range(4)
_AT_ONCE, _IN_TWO = 4, 8
_CPU_S = 3.0
_MIB = 64
_ANSWER_S = 0.15
"""An honest answer takes some 20 ms; what comes later is missed, and the case still counts."""
_PATIENCE_S = 15.0
_CASES_BETWEEN_CHECKS = 16
_SLACK = 12
"""Threads that may still be on their way out between cases: some wait for a deadline of 10 s."""
_ENDING = (b"\3", b"\6", b"\7")
"""First bytes of A-ASSOCIATE-RJ, A-RELEASE-RP and A-ABORT."""


def seeds(folder: Path) -> list[bytes]:
    """Valid streams, ended in every way."""
    return [bytes([mode]) + stream for stream in streams() for mode in (READ, CLOSE, _IN_TWO)]


@dataclass
class _Sink:
    """A ledger of its own: digests per SOP Instance UID, and the paths that are ours."""

    digests: dict[str, str] = field(default_factory=dict)
    kept: dict[Path, ReceivedInstance] = field(default_factory=dict)

    def __call__(self, instance: ReceivedInstance) -> Receipt:
        known = self.digests.setdefault(instance.sop_instance_uid, instance.sha256)
        if known != instance.sha256:
            return Receipt.CONFLICT
        if instance.path in self.kept or any(
            each.sop_instance_uid == instance.sop_instance_uid for each in self.kept.values()
        ):
            return Receipt.DUPLICATE
        self.kept[instance.path] = instance
        return Receipt.ACCEPTED


class PduTarget:
    """One listener for many cases; a case ends when the peer has gone, not when its trace has.

    `answer_s` is how long a peer waits for an answer. `notes` counts associations that ended by an
    exception in their own thread. `check` waits for what is left of the cases, and looks at it;
    `run` calls it now and then.
    """

    def __init__(self, folder: Path, answer_s: float = _ANSWER_S) -> None:
        self._folder, self._answer_s = folder, answer_s
        self._sink = _Sink()
        self._commitments = folder / "commitments"
        self._problems: list[str] = []
        self.notes: Counter[str] = Counter()
        self._cases = 0
        self._scp = StorageScp(
            ae_title="SCREEN",
            host="127.0.0.1",
            port=0,
            spool=Spool(folder / "spool"),
            sink=self._sink,
            limits=ListenerLimits(instance_bytes=MIB),
            # Not started: nobody reports, requests are only taken.
            commitments=CommitmentProvider(
                self._commitments, "SCREEN", lambda reference: 0, lambda ae_title: None
            ),
            on_report=_record,
        )
        self._scp.start()
        self._watch()
        self._echo()
        self._at_rest()
        self._threads, self._descriptors = threading.active_count(), _open_descriptors()

    def run(self, case: bytes) -> None:
        """Raise Finding when a contract is broken by this case, or by one shortly before it."""
        with bounded(_CPU_S, _MIB):
            answers = self.converse(case[0] if case else 0, case[1:])
        self._require_durable(answers)
        self._require_quiet()
        self._cases += 1
        if self._cases % _CASES_BETWEEN_CHECKS == 0:
            self._check(_SLACK)

    def check(self) -> None:
        """Raise Finding unless the listener serves others and has kept only what it has to."""
        self._check(0)

    def _check(self, slack: int) -> None:
        self._echo()
        if not self._at_rest():
            raise Finding(f"{self._scp.active_associations} associations were left open")
        self._require_nothing_leaked(slack)
        self._require_quiet()
        self._require_true_spool()

    def close(self) -> None:
        """Stop the listener."""
        self._scp.stop(1)
        threading.excepthook = self._former_hook
        logging.getLogger("pynetdicom").removeHandler(self._handler)

    def _watch(self) -> None:
        """Collect what pynetdicom swallows, and what ends a thread."""
        self._former_hook = threading.excepthook
        threading.excepthook = self._on_thread_end
        self._handler = _SwallowedErrors(self._problems)
        logger = logging.getLogger("pynetdicom")
        logger.addHandler(self._handler)
        logger.propagate = False

    def _on_thread_end(self, args: threading.ExceptHookArgs) -> None:
        if isinstance(args.thread, DULServiceProvider):
            # pynetdicom ends the thread of this peer's own association on much that is malformed;
            # whether others notice, or anything is left of it, is judged like everything else.
            self.notes[f"association ended by {args.exc_type.__name__}"] += 1
            return
        self._problems.append(f"{args.exc_value!r} ended the thread {args.thread}")

    def converse(self, mode: int, stream: bytes) -> bytes:
        """Send a stream as `mode` says; what the listener answered, as far as it was read."""
        source = f"127.0.1.{1 + self._cases % 250}"
        answers = b""
        with socket.create_connection(
            ("127.0.0.1", self._scp.port), 5, source_address=(source, 0)
        ) as peer:
            peer.settimeout(self._answer_s)
            # A listener that is fed up closes; then whatever we do ends in an OSError.
            with suppress(OSError):
                if not mode & _AT_ONCE:
                    stream, answers = _request(peer, stream)
                half = len(stream) // 2 if mode & _IN_TWO else 0
                peer.sendall(stream[:half])
                peer.sendall(stream[half:])
                answers += _leave(peer, mode % 4)
        return answers

    def _require_durable(self, answers: bytes) -> None:
        """Every 0x0000 that the peer has read stands for a registered file."""
        for uid in stored_uids(answers):
            require(uid in self._sink.digests, f"0x0000 for {uid}, which nobody registered")
            kept = [each for each in self._sink.kept.values() if each.sop_instance_uid == uid]
            require(kept, f"0x0000 for {uid}, of which nothing is kept")
            for each in kept:
                digest = sha256(each.path.read_bytes()).hexdigest()
                require(digest == each.sha256, f"0x0000 for {uid}, stored otherwise")

    def _require_quiet(self) -> None:
        if self._problems:
            problems, self._problems[:] = list(self._problems), []
            raise Finding("; ".join(problems))

    def _require_nothing_leaked(self, slack: int) -> None:
        if not _eventually(
            lambda: (
                threading.active_count() <= self._threads + slack
                and _open_descriptors() <= self._descriptors + 2 * slack
            )
        ):
            threads = [thread.name for thread in threading.enumerate()]
            raise Finding(f"left behind: {_open_descriptors()} descriptors, threads {threads}")

    def _require_true_spool(self) -> None:
        spool = self._folder / "spool"
        require(_eventually(lambda: not os.listdir(spool / "tmp")), "a temporary file was left")
        lying = {path for path in (spool / "incoming").rglob("*") if path.is_file()}
        unknown = lying - set(self._sink.kept)
        require(not unknown, f"{len(unknown)} files in the spool that were never registered")
        for path, instance in self._sink.kept.items():
            # The reconciler has to understand, after a crash, what the listener has taken.
            found = describe_file(path, instance.calling_ae_title)
            # But for the association: the spool keeps what was sent, not on which one.
            taken = replace(instance, association_id="")
            require(found == taken, "described otherwise from the spool than on reception")
            path.unlink()
        for path in (*(spool / "quarantine").iterdir(), *self._commitments.iterdir()):
            path.unlink()
        self._sink.kept.clear()
        self._sink.digests.clear()

    def _echo(self) -> None:
        remote = RemoteAE("SCREEN", "127.0.0.1", self._scp.port)
        try:
            echo(remote, calling_ae_title="INNOCENT", timeout_s=10)
        except DicomNodeError as error:
            raise Finding(f"another peer's C-ECHO failed: {error}") from error

    def _at_rest(self) -> bool:
        return _eventually(lambda: self._scp.active_associations == 0)


class _SwallowedErrors(logging.Handler):
    """pynetdicom logs what our handlers raise, and goes on."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(("Exception in", "Exception raised in")):
            self._problems.append(f"{text}: {sys.exception()!r}")


def _record(report: CommitmentReport) -> bool:
    return True


def _request(peer: socket.socket, stream: bytes) -> tuple[bytes, bytes]:
    """Send the first PDU and wait for its answer: what is left of the stream, and the answer."""
    first = split_pdus(stream)[0] if stream else b""
    peer.sendall(first)
    answer = b""
    if len(first) >= 6 and len(first) == 6 + struct.unpack_from(">L", first, 2)[0]:
        with suppress(TimeoutError):
            answer = peer.recv(65536)
    return stream[len(first) :], answer


def _leave(peer: socket.socket, how: int) -> bytes:
    if how == RESET:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return b""
    if how == CLOSE:
        return b""
    if how == HALF_CLOSE:
        peer.shutdown(socket.SHUT_WR)
    return _read_answers(peer)


def _read_answers(peer: socket.socket) -> bytes:
    answers = b""
    with suppress(OSError):
        while data := peer.recv(65536):
            answers += data
            if split_pdus(answers)[-1][:1] in _ENDING:
                break
    return answers


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
