"""Reports on storage commitment by TLS, to where a peer's settings say that it is called back."""

import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydicom import uid
from sqlalchemy import Engine
from structlog.testing import capture_logs

from dicom_node.access import Role
from tests.integration.commitments import Provider, Requestor, ask, store, until
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.certificates import make_certificates
from worker.commitments import make_commitments
from worker.settings import ListenerSettings, PeerSettings, Settings

CR = str(uid.ComputedRadiographyImageStorage)
STORED = str(radiograph_dataset().SOPInstanceUID)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, ["MODALITY", "SCREEN"], ["127.0.0.1"])
    make_certificates(folder / "foreign", ["MODALITY"], ["127.0.0.1"])
    return folder


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    return write_instance(radiograph_dataset(), tmp_path / "a.dcm")


def mutual(folder: Path, trusted: Path) -> ssl.SSLContext:
    """The modality's side, with its pair of `folder`: wants our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "modality.crt", folder / "modality.key")
    context.load_verify_locations(trusted / "authority.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def make_provider(engine: Engine, folder: Path, port: int, certificates: Path) -> Provider:
    """With the modality among its peers, called back by TLS."""
    peer = PeerSettings(
        name="modality",
        ae_title="MODALITY",
        networks=(ip_network("127.0.0.1/32"),),
        roles=(Role.STORE,),
        host="127.0.0.1",
        port=port,
        tls_ca_file=certificates / "authority.crt",
        tls_certificate_file=certificates / "screen.crt",
        tls_key_file=certificates / "screen.key",
    )
    elsewhere = PeerSettings(
        name="the same from another network",
        ae_title="MODALITY",
        networks=(ip_network("192.0.2.0/24"),),
        roles=(Role.STORE,),
    )
    settings = Settings(
        data_folder=folder, listener=ListenerSettings(ae_title="SCREEN"), peers=(peer, elsewhere)
    )
    return Provider(folder, engine, commitments=make_commitments(settings, engine))


def test_a_report_goes_out_by_mutual_tls(
    ledger_engine: Engine, tmp_path: Path, certificates: Path, instance: Path
) -> None:
    requestor = Requestor()
    with requestor.listening(mutual(certificates, certificates)) as modality:
        provider = make_provider(ledger_engine, tmp_path / "data", modality.port, certificates)
        with provider.running() as node:
            store(node, instance)
            ask(node, (CR, STORED))
            kind, information = requestor.wait()
            until(lambda: provider.waiting == [])

    assert kind == 1
    assert [item.ReferencedSOPInstanceUID for item in information.ReferencedSOPSequence] == [STORED]


@pytest.mark.parametrize("modality_shows", ["a foreign certificate", "plain TCP"])
def test_who_cannot_prove_itself_is_told_nothing_and_the_report_waits(
    ledger_engine: Engine, tmp_path: Path, certificates: Path, instance: Path, modality_shows: str
) -> None:
    requestor = Requestor()
    foreign = mutual(certificates / "foreign", certificates)
    context = foreign if modality_shows == "a foreign certificate" else None
    with requestor.listening(context) as modality, capture_logs() as logs:
        provider = make_provider(ledger_engine, tmp_path / "data", modality.port, certificates)
        with provider.running() as node:
            store(node, instance)
            ask(node, (CR, STORED))
            until(lambda: any(log["event"] == "commitment_not_reported" for log in logs))

    (reason, *_) = [log["reason"] for log in logs if log["event"] == "commitment_not_reported"]
    assert "no TLS connection with MODALITY" in reason
    assert requestor.reports == []
    assert len(provider.waiting) == 1
