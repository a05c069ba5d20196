"""TLS towards destinations: verified by authority and name, or by a pinned certificate; mutual."""

import hashlib
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.states import DeliveryState
from tests.integration.outbox import Outbox
from tests.servers.scripted_pacs import ScriptedPacs
from worker.certificates import CertificatePair, make_certificates

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")


class Certificates:
    """An authority, a pair for the PACS and one for us."""

    def __init__(self, folder: Path, hosts: list[str]) -> None:
        self.authority = folder / "authority.crt"
        self.pacs, self.ours = make_certificates(folder, ["PACS", "FRACTURESCREEN"], hosts)

    def pacs_context(self, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
        """Wants a certificate of the authority from who calls."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = minimum
        context.load_cert_chain(self.pacs.certificate, self.pacs.key)
        context.load_verify_locations(self.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    @property
    def options(self) -> dict[str, object]:
        return {"tls_ca_file": self.authority, **pair_options(self.ours)}


def pair_options(pair: CertificatePair) -> dict[str, object]:
    return {"tls_certificate_file": pair.certificate, "tls_key_file": pair.key}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certs"), ["pacs.example", "127.0.0.1"])


@pytest.fixture
def deliver(
    ledger_engine: Engine, tmp_path: Path
) -> Callable[..., tuple[list[DeliveryState], str]]:
    def deliver(
        pacs_context: ssl.SSLContext | None, **options: object
    ) -> tuple[list[DeliveryState], str]:
        with ScriptedPacs(tls=pacs_context) as pacs:
            outbox = Outbox(ledger_engine, tmp_path, pacs.remote, destination=options)
            rows = outbox.deliver()
        return [row.state for row in rows], rows[0].last_error

    return deliver


Deliver = Callable[..., tuple[list[DeliveryState], str]]
SENT, PENDING = [DeliveryState.SENT] * 2, [DeliveryState.PENDING] * 2


def test_results_go_out_over_mutual_tls(deliver: Deliver, certificates: Certificates) -> None:
    assert deliver(certificates.pacs_context(), **certificates.options) == (SENT, "")


def test_the_name_in_the_certificate_may_be_another_than_the_host_called(
    deliver: Deliver, certificates: Certificates
) -> None:
    options = {**certificates.options, "tls_host_name": "pacs.example"}
    assert deliver(certificates.pacs_context(), **options) == (SENT, "")


def test_a_certificate_of_another_name_gets_nothing(
    deliver: Deliver, certificates: Certificates
) -> None:
    options = {**certificates.options, "tls_host_name": "other.example"}
    states, error = deliver(certificates.pacs_context(), **options)
    assert states == PENDING
    assert "Hostname mismatch" in error


def test_a_certificate_of_another_authority_gets_nothing(
    deliver: Deliver, certificates: Certificates, tmp_path: Path
) -> None:
    other = Certificates(tmp_path / "other", ["127.0.0.1"])
    options = {**certificates.options, "tls_ca_file": other.authority}
    states, error = deliver(certificates.pacs_context(), **options)
    assert states == PENDING
    assert "certificate" in error
    assert "tls_ca_file" in error


def test_a_pinned_certificate_needs_neither_authority_nor_name(
    deliver: Deliver, certificates: Certificates
) -> None:
    pem = certificates.pacs.certificate.read_text()
    first = pem[: pem.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
    options = {"tls_pinned_sha256": pin, **pair_options(certificates.ours)}
    assert deliver(certificates.pacs_context(), **options) == (SENT, "")


def test_another_certificate_than_the_pinned_one_gets_nothing(
    deliver: Deliver, certificates: Certificates
) -> None:
    options = {"tls_pinned_sha256": "00" * 32, **pair_options(certificates.ours)}
    states, error = deliver(certificates.pacs_context(), **options)
    assert states == PENDING
    assert "not the pinned one" in error


def test_without_our_certificate_a_mutual_destination_takes_nothing(
    deliver: Deliver, certificates: Certificates
) -> None:
    states, _ = deliver(certificates.pacs_context(), tls_ca_file=certificates.authority)
    assert states == PENDING


def test_a_destination_without_tls_gets_nothing_and_holds_nobody(
    deliver: Deliver, certificates: Certificates
) -> None:
    began = time.monotonic()
    states, error = deliver(None, **certificates.options)
    assert states == PENDING
    assert "no TLS connection" in error
    assert time.monotonic() - began < 10


def test_unusable_files_are_named(
    deliver: Deliver, certificates: Certificates, tmp_path: Path
) -> None:
    options = {**certificates.options, "tls_key_file": tmp_path / "missing.key"}
    states, error = deliver(certificates.pacs_context(), **options)
    assert states == PENDING
    assert "missing.key" in error
