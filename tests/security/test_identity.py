"""Who is let in, over the wire: AE titles, addresses, roles, certificates."""

import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydicom import uid
from pynetdicom import AE
from pynetdicom.association import Association
from structlog.testing import capture_logs

from dicom_node.access import AccessList, Peer, Role
from dicom_node.instance import ReceivedInstance
from dicom_node.listener_tls import TlsCredentials, TlsFiles, TlsSetupError
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp, TlsPort
from tests.security import wire
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.certificates import make_certificates

LOOPBACK = (ip_network("127.0.0.1/32"),)
STORE = frozenset({Role.STORE})
PEERS = (
    Peer("modality", "INNOCENT", LOOPBACK, STORE),
    Peer("asker", "ASKER", LOOPBACK, frozenset({Role.QUERY})),
    Peer("bound", "BOUND", LOOPBACK, STORE, certificate_names=("modality.hospital",)),
    Peer("other door", "OTHERDOOR", LOOPBACK, STORE, called_ae_titles=("SIDEDOOR",)),
)


def _accept(instance: ReceivedInstance) -> Receipt:
    return Receipt.ACCEPTED


@pytest.fixture
def files(tmp_path: Path, certificates: Path) -> TlsFiles:
    """Copies, to be replaced by a test."""
    names = ("screen.crt", "screen.key", "authority.crt")
    paths = [Path(shutil.copy(certificates / name, tmp_path / name)) for name in names]
    return TlsFiles(*paths)


@pytest.fixture
def scp(tmp_path: Path, files: TlsFiles) -> Iterator[StorageScp]:
    listener = StorageScp(
        ae_title="SCREEN",
        host="127.0.0.1",
        port=0,
        tls=TlsPort(0, TlsCredentials(files)),
        spool=Spool(tmp_path / "spool"),
        sink=_accept,
        access=AccessList("SCREEN", PEERS),
    )
    with listener:
        yield listener


@contextmanager
def associating(
    port: int,
    calling: str = "INNOCENT",
    called: str = "SCREEN",
    context: ssl.SSLContext | None = None,
    source: str = "127.0.0.1",
) -> Iterator[Association]:
    ae = AE(calling)
    ae.add_requested_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title=called,
        tls_args=(context, "localhost") if context else None,
        bind_address=(source, 0),
    )
    yield association
    if association.is_established:
        association.release()


def _reason(association: Association) -> int | None:
    assert association.is_rejected
    return association.acceptor.primitive.diagnostic


def test_a_known_peer_stores(scp: StorageScp, tmp_path: Path) -> None:
    path = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    with associating(scp.port) as association:
        assert association.send_c_store(path).Status == 0x0000


def test_an_unknown_caller_is_rejected_and_logged_once_with_the_lines_to_add(
    scp: StorageScp,
) -> None:
    with capture_logs() as logs, associating(scp.port, "STRANGER") as association:
        assert _reason(association) == 0x03

    (event,) = [entry for entry in logs if entry["event"] == "association_rejected"]
    assert event["to_admit"].splitlines() == [
        "[[peers]]",
        'name = "STRANGER"',
        'ae_title = "STRANGER"',
        'networks = ["127.0.0.1"]',
        'roles = ["store"]',
    ]


@pytest.mark.parametrize(("source", "warned"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_our_own_ae_title_is_rejected_without_a_warning_from_this_address_alone(
    scp: StorageScp, source: str, warned: bool
) -> None:
    with capture_logs() as logs, associating(scp.port, "SCREEN", source=source) as association:
        assert _reason(association) == 0x03

    assert ("association_rejected" in {entry["event"] for entry in logs}) == warned


def test_a_known_ae_title_from_another_address_is_rejected(scp: StorageScp) -> None:
    with associating(scp.port, source="127.0.0.2") as association:
        assert _reason(association) == 0x03


def test_a_known_peer_that_calls_another_ae_title_is_told_so(scp: StorageScp) -> None:
    with associating(scp.port, called="ARCHIVE") as association:
        assert _reason(association) == 0x07


def test_a_peer_may_have_a_called_ae_title_of_its_own(scp: StorageScp) -> None:
    with associating(scp.port, "OTHERDOOR", "SIDEDOOR") as association:
        assert association.is_established


def test_a_peer_that_may_only_ask_may_not_store(scp: StorageScp, tmp_path: Path) -> None:
    path = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    with associating(scp.port, "ASKER") as association:
        assert association.send_c_store(path).Status == 0x0124
    assert list((tmp_path / "spool").rglob("*.dcm")) == []


def test_a_certificate_that_names_the_ae_title_is_admitted(
    scp: StorageScp, certificates: Path
) -> None:
    context = wire.client_context(certificates, "innocent")
    with associating(scp.tls_port, context=context) as association:
        assert association.is_established


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(
    scp: StorageScp, certificates: Path, version: ssl.TLSVersion
) -> None:
    context = wire.client_context(certificates, "innocent")
    context.minimum_version = context.maximum_version = version
    with associating(scp.tls_port, context=context) as association:
        assert association.is_established


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_1_is_refused(scp: StorageScp, certificates: Path) -> None:
    context = wire.client_context(certificates, "innocent")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with wire.connect(scp.tls_port) as connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection, server_hostname="localhost")


def test_another_peers_certificate_is_not_enough(scp: StorageScp, certificates: Path) -> None:
    context = wire.client_context(certificates, "attacker")
    with associating(scp.tls_port, context=context) as association:
        assert _reason(association) == 0x03


def test_a_bound_certificate_admits_and_its_owner_is_refused_without_tls(
    scp: StorageScp, certificates: Path
) -> None:
    context = wire.client_context(certificates, "modality.hospital")
    with associating(scp.tls_port, "BOUND", context=context) as association:
        assert association.is_established
    with associating(scp.port, "BOUND") as association:
        assert _reason(association) == 0x03


def test_a_caller_without_a_certificate_gets_no_association(
    scp: StorageScp, certificates: Path
) -> None:
    with associating(scp.tls_port, context=wire.client_context(certificates)) as association:
        assert not association.is_established


def test_a_certificate_of_another_authority_is_refused(
    scp: StorageScp, certificates: Path, tmp_path: Path
) -> None:
    make_certificates(tmp_path / "foreign", ["INNOCENT"], [])
    context = wire.client_context(certificates)
    foreign = tmp_path / "foreign"
    context.load_cert_chain(foreign / "innocent.crt", foreign / "innocent.key")
    with associating(scp.tls_port, context=context) as association:
        assert not association.is_established


def test_a_renewed_certificate_is_used_without_a_restart(
    scp: StorageScp, files: TlsFiles, certificates: Path
) -> None:
    before = ssl.get_server_certificate(("127.0.0.1", scp.tls_port))
    (renewed,) = make_certificates(certificates, ["RENEWED"], ["localhost"])
    shutil.copy(renewed.key, files.key)
    shutil.copy(renewed.certificate, files.certificate)

    assert ssl.get_server_certificate(("127.0.0.1", scp.tls_port)) != before
    context = wire.client_context(certificates, "innocent")
    with associating(scp.tls_port, context=context) as association:
        assert association.is_established


def test_a_broken_renewal_leaves_the_old_certificate_in_force(
    scp: StorageScp, files: TlsFiles, certificates: Path
) -> None:
    files.certificate.write_text("not a certificate")
    context = wire.client_context(certificates, "innocent")

    with capture_logs() as logs, associating(scp.tls_port, context=context) as association:
        assert association.is_established
    assert [each["log_level"] for each in logs if each["event"] == "certificates_not_reloaded"] == [
        "critical"
    ]


def test_unusable_certificates_stop_the_start_with_the_files_named(tmp_path: Path) -> None:
    missing = TlsFiles(tmp_path / "a.crt", tmp_path / "a.key", tmp_path / "b.crt")
    with pytest.raises(TlsSetupError, match=r"a\.crt"):
        TlsCredentials(missing)


def test_a_silent_client_of_the_tls_port_holds_up_nobody(
    scp: StorageScp, certificates: Path
) -> None:
    with wire.connect(scp.tls_port), wire.connect(scp.tls_port):
        context = wire.client_context(certificates, "innocent")
        began = time.monotonic()
        with associating(scp.tls_port, context=context) as association:
            assert association.is_established
        assert time.monotonic() - began < 5
