"""Our own certificates and authorities: readable, of their key, not about to expire."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from worker.doctor.finding import Verdict, failed, ok, warning
from worker.doctor.site import called
from worker.doctor.x509 import Certificate, certificates_of
from worker.settings import Settings

EXPIRES_SOON = timedelta(days=30)
_RENEW = "Have the authority issue a new one; put it in its place"


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A PEM file of the settings; `key` None: of authorities, which need none."""

    used_for: str
    certificate: Path
    key: Path | None = None


def certificate_files(settings: Settings) -> list[CertificateFile]:
    """All that the settings name, each once per use."""
    return [*_of_servers(settings), *_of_callers(settings)]


def look_at_certificate(file: CertificateFile, now: datetime) -> Verdict:
    """Whether it can be used now, and for how long."""
    try:
        found = certificates_of(file.certificate.read_text("ascii"))
    except OSError as error:
        return failed(
            f"{file.certificate} cannot be read: {error.strerror}",
            "Put the file there and let the service's user read it, or correct its path.",
        )
    except ValueError as error:
        return failed(f"{file.certificate}: {error}", "Put a certificate in PEM there.")
    if file.key is not None and (problem := _problem_with_key(file.certificate, file.key)):
        return problem
    return judge_validity(str(file.certificate), found, now)


def judge_validity(where: str, certificates: list[Certificate], now: datetime) -> Verdict:
    """By the one that expires first."""
    first = min(certificates, key=lambda one: one.not_after)
    told = f"{where} ({first.common_name or 'no name'})"
    day = f"{first.not_after:%Y-%m-%d}"
    if first.not_after < now:
        return failed(f"{told} expired on {day}", f"{_RENEW}.")
    for one in certificates:
        if one.not_before > now:
            return failed(
                f"{where} ({one.common_name}) is not valid before {one.not_before:%Y-%m-%d %H:%M}",
                "Check this machine's clock; else have the authority issue it anew.",
            )
    if first.not_after - now < EXPIRES_SOON:
        days = (first.not_after - now).days
        return warning(f"{told} expires on {day}, in {days} days", f"{_RENEW} before that day.")
    return ok(f"{told}, until {day}")


def _problem_with_key(certificate: Path, key: Path) -> Verdict | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # With a password given, OpenSSL does not ask for one at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return failed(
                f"{key} is not the key of {certificate}",
                "Put the certificate's own key there, or have a certificate issued for this key.",
            )
        if "ENCRYPTED" in key.read_text(errors="replace"):
            return failed(
                f"{key} is encrypted, and services cannot be asked for its password",
                f"Decrypt it: `openssl pkey -in {key} -out KEY`, mode 0600.",
            )
        return failed(
            f"{certificate} and {key} cannot be used together ({error.reason or 'no PEM'})",
            "Put a certificate chain and its key in PEM there.",
        )
    except OSError as error:
        return failed(
            f"{key} cannot be read: {error.strerror}",
            "Put the file there and let the service's user alone read it, or correct its path.",
        )
    return None


def _of_servers(settings: Settings) -> Iterator[CertificateFile]:
    tls, worklist = settings.listener.tls, settings.worklist
    if tls.certificate is not None and tls.authority is not None:
        yield CertificateFile("listener", tls.certificate, tls.key)
        yield CertificateFile("listener's callers", tls.authority)
    if worklist.tls_certificate_file is not None:
        yield CertificateFile("worklist", worklist.tls_certificate_file, worklist.tls_key_file)


def _of_callers(settings: Settings) -> Iterator[CertificateFile]:
    for one in called(settings):
        if one.tls_certificate_file is not None:
            yield CertificateFile(one.name, one.tls_certificate_file, one.tls_key_file)
        if one.tls_ca_file is not None:
            yield CertificateFile(f"{one.name}'s authorities", one.tls_ca_file)
