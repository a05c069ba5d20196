"""TLS of the listener (PS3.15 B.12, BCP 195): certificates that reload, handshakes that end.

Mutual: a caller without a certificate of the authority gets no association.
"""

import select
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from dicom_node.errors import DicomNodeError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2 (RFC 9325 4.2: forward secrecy and AEAD only); TLS 1.3 brings its own."""

_log = structlog.get_logger(__name__)


class TlsSetupError(DicomNodeError):
    """Certificate, key or authority cannot be used; the message names the files."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate (chain) and key, and the authority that callers must be of."""

    certificate: Path
    key: Path
    authority: Path

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """What changes when a file is replaced or rewritten. Raises OSError if one is missing."""
        states = [path.stat() for path in (self.certificate, self.key, self.authority)]
        return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)


class TlsCredentials:
    """The server side's TLS context, made anew when its files have changed.

    Files that cannot be used after a change leave the last good context in force, with an alarm.
    Raises TlsSetupError at once when there is none. Safe to share between threads.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp = _stamp_or_none(files)
        self._context = make_server_context(files)

    def context(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        stamp = _stamp_or_none(self._files)
        with self._lock:
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload()
            return self._context

    def _reload(self) -> None:
        try:
            self._context = make_server_context(self._files)
        except TlsSetupError as error:
            _log.critical("certificates_not_reloaded", reason=str(error))
            return
        _log.info("certificates_reloaded", certificate=str(self._files.certificate))


def make_server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer, client certificate demanded. Raises TlsSetupError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # A resumed session would outlive a certificate's withdrawal.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.authority)
    except (OSError, ssl.SSLError) as error:
        raise TlsSetupError(
            f"TLS cannot be set up from {files.certificate}, {files.key} and {files.authority}: "
            f"{error.strerror or error}; `fracture-screen certs make` writes a set for tests"
        ) from error
    return context


def shake_hands(connection: ssl.SSLSocket, deadline_s: float) -> None:
    """Complete the handshake within `deadline_s` seconds in all, however slowly bytes drip in.

    Raises OSError (of which ssl.SSLError is one) when it fails or takes longer.
    """
    deadline = time.monotonic() + deadline_s
    connection.setblocking(False)
    while True:
        try:
            connection.do_handshake()
            return
        except ssl.SSLWantReadError:
            waiting_for = select.POLLIN
        except ssl.SSLWantWriteError:
            waiting_for = select.POLLOUT
        poll = select.poll()
        poll.register(connection, waiting_for)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError(f"TLS handshake not completed within {deadline_s} s")


def _stamp_or_none(files: TlsFiles) -> object:
    try:
        return files.stamp()
    except OSError:
        return None
