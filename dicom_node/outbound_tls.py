"""TLS towards destinations (BCP 195, PS3.15 B.12): TLS 1.2 or newer, always verified."""

import hashlib
import hmac
import ssl
from typing import Any

from dicom_node.errors import AssociationFailed
from dicom_node.instance import OutboundTls
from dicom_node.retry_classes import TransportProblem

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ClientTls:
    """The context for one connection; `failure` says afterwards why a handshake failed."""

    def __init__(self, tls: OutboundTls, host: str) -> None:
        self.failure = ""
        self.server_name = tls.host_name or host
        self.context = _context(tls)
        self.context.sslsocket_class = self._socket_class(tls.pinned_sha256)

    def _socket_class(self, pinned_sha256: str | None) -> type[ssl.SSLSocket]:
        owner = self

        class Socket(ssl.SSLSocket):
            """Checks the pin before a byte is sent, and keeps what pynetdicom only logs."""

            def do_handshake(self, *arguments: Any, **options: Any) -> None:  # Any: ssl's own
                try:
                    super().do_handshake(*arguments, **options)
                    _check_pin(self, pinned_sha256)
                except ssl.SSLCertVerificationError as error:
                    owner.failure = getattr(error, "verify_message", "") or str(error)
                    raise
                except OSError as error:
                    owner.failure = getattr(error, "reason", None) or type(error).__name__
                    raise

        return Socket


def _context(tls: OutboundTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    if tls.pinned_sha256 is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if tls.ca_file is not None:
            context.load_verify_locations(tls.ca_file)
        if tls.certificate_file is not None:
            context.load_cert_chain(tls.certificate_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise AssociationFailed(
            f"TLS files {tls.ca_file}, {tls.certificate_file}, {tls.key_file} cannot be used "
            f"({type(error).__name__}): check that they exist, are PEM, and belong together",
            TransportProblem.TLS_FAILED,
        ) from error
    return context


def _check_pin(connection: ssl.SSLSocket, pinned_sha256: str | None) -> None:
    if pinned_sha256 is None:
        return
    certificate = connection.getpeercert(binary_form=True) or b""
    if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), pinned_sha256):
        raise ssl.SSLCertVerificationError("the certificate is not the pinned one")
