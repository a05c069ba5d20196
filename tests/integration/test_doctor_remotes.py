"""Faults of certificates, ports and remote AEs, planted with real parts and named by the doctor."""

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.sop_class import Verification
from structlog.testing import capture_logs

from dicom_node.instance import RemoteAE
from dicom_node.remote_association import open_association
from tests.integration.doctors_patient import Installation, Table, fault, healthy, named, warned
from tests.servers.mllp import MllpReceiver
from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.ports import free_port
from tests.servers.scripted_pacs import ScriptedPacs
from worker.certificates import CertificatePair, make_certificates
from worker.composition import open_ledger, open_spool, utc_now
from worker.doctor.finding import CheckName, Result
from worker.doctor.probe_object import NOTE, PATIENT_ID
from worker.intake import Intake
from worker.reception import make_listener
from worker.settings import load_settings

HOSTS = ["127.0.0.1", "localhost"]
STORE = CheckName.DESTINATION_STORE


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def destination(site: Installation, port: int, **more: object) -> Table:
    table: Table = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port, **more}
    site.tables.append(("destinations", table))
    return table


def source(site: Installation, remote: RemoteAE, **more: object) -> Table:
    table: Table = {"name": "archive", "ae_title": remote.ae_title, "host": remote.host, **more}
    table["port"] = remote.port
    site.tables.append(("sources", table))
    return table


@contextmanager
def running_listener(site: Installation) -> Iterator[None]:
    """Our own, as `fracture-screen listen` makes it."""
    site.write()
    settings = load_settings(site.config)
    spool = open_spool(settings)
    intake = Intake(open_ledger(settings), spool, settings.data_folder)
    with make_listener(settings, spool, intake.register):
        yield


# Certificates


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> CertificatePair:
    folder = tmp_path_factory.mktemp("certificates")
    return make_certificates(folder, ["FRACTURESCREEN"], HOSTS)[0]


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> CertificatePair:
    folder = tmp_path_factory.mktemp("expired")
    (pair,) = make_certificates(folder, ["PACS"], HOSTS)
    # Signed again by its authority, until now.
    (folder / "names").write_text("subjectAltName=DNS:PACS,IP:127.0.0.1\n")
    _openssl(folder, "x509 -x509toreq -in pacs.crt -signkey pacs.key -out request")
    signer = "-CA authority.crt -CAkey authority.key -CAcreateserial"
    _openssl(folder, f"x509 -req -in request {signer} -days 0 -extfile names -out pacs.crt")
    time.sleep(1.1)
    return pair


def _openssl(folder: Path, arguments: str) -> None:
    words = ["openssl", *arguments.split()]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)


def use(site: Installation, pair: CertificatePair, key: Path | None = None) -> None:
    """As the listener's."""
    site.sections["listener.tls"] = {
        "port": free_port(),
        "certificate": pair.certificate,
        "key": key or pair.key,
        "authority": pair.certificate.parent / "authority.crt",
    }


def test_certificates_with_their_keys_are_healthy(
    site: Installation, pair: CertificatePair
) -> None:
    use(site, pair)
    for finding in site.examine(CheckName.CERTIFICATE, CheckName.SECRET_FILE):
        healthy(finding)


def test_an_expired_certificate_is_named_with_its_day(
    site: Installation, expired: CertificatePair
) -> None:
    use(site, expired)
    own, authority = site.examine(CheckName.CERTIFICATE)
    fault(own, "pacs.crt (PACS) expired on", f"{utc_now():%Y-}", "issue a new one")
    healthy(authority)


def test_a_certificate_that_expires_within_thirty_days_is_warned_of(
    site: Installation, tmp_path: Path
) -> None:
    (soon,) = make_certificates(tmp_path / "soon", ["FRACTURESCREEN"], HOSTS, days=10)
    use(site, soon)
    own, authority = site.examine(CheckName.CERTIFICATE)
    day = f"{utc_now() + timedelta(days=10):%Y-%m-%d}"
    warned(own, f"expires on {day}", "before that day")
    warned(authority, day)


def test_a_key_that_does_not_fit_is_named_with_both_files(
    site: Installation, pair: CertificatePair, expired: CertificatePair
) -> None:
    use(site, pair, key=expired.key)
    own, _ = site.examine(CheckName.CERTIFICATE)
    fault(own, f"{expired.key} is not the key of {pair.certificate}")


def test_a_key_that_all_can_read_is_named(
    site: Installation, pair: CertificatePair, tmp_path: Path
) -> None:
    key = tmp_path / "open.key"
    shutil.copyfile(pair.key, key)
    key.chmod(0o644)
    use(site, pair, key=key)
    fault(site.look(CheckName.SECRET_FILE), "mode 0644", f"chmod 640 {key}")


def test_a_key_under_a_password_is_named_and_no_terminal_is_asked(
    site: Installation, pair: CertificatePair, tmp_path: Path
) -> None:
    key = tmp_path / "encrypted.key"
    arguments = ["-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", key]
    subprocess.run(["openssl", "pkey", *arguments], check=True, capture_output=True)
    use(site, pair, key=key)
    own, _ = site.examine(CheckName.CERTIFICATE)
    fault(own, "is encrypted", "openssl pkey")


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_a_certificate_is_named(
    site: Installation, pair: CertificatePair, tmp_path: Path, content: str
) -> None:
    broken = tmp_path / "broken.crt"
    broken.write_text(content)
    use(site, CertificatePair("", broken, pair.key))
    (tmp_path / "authority.crt").write_text("")
    own, authority = site.examine(CheckName.CERTIFICATE)
    fault(own, "broken.crt", "PEM")
    fault(authority, "authority.crt")


def test_a_certificate_file_that_is_missing_is_named(
    site: Installation, pair: CertificatePair
) -> None:
    use(site, CertificatePair("", site.folder / "none.crt", pair.key))
    own, authority = site.examine(CheckName.CERTIFICATE)
    fault(own, "none.crt cannot be read", "correct its path")
    fault(authority, "authority.crt cannot be read")


# The listener


def test_a_listener_that_runs_is_found_under_our_ae_title(site: Installation) -> None:
    with running_listener(site):
        healthy(site.look(CheckName.LISTENER), "FRACTURESCREEN answers C-ECHO")


def test_a_listener_that_does_not_run_is_warned_of(site: Installation) -> None:
    warned(site.look(CheckName.LISTENER), "not running", "fracture-screen listen")


def test_a_listener_whose_peers_are_others_refuses_us_and_that_is_healthy(
    site: Installation,
) -> None:
    peer: Table = {"name": "ct", "ae_title": "CT", "networks": ["10.0.0.1"], "roles": ["store"]}
    site.tables.append(("peers", peer))
    with capture_logs() as logs, running_listener(site):
        healthy(site.look(CheckName.LISTENER), "none of the [[peers]]")
    # Nobody is to admit us on the doctor's account.
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == []
    assert "own_check_rejected" in {log["event"] for log in logs}


def test_a_silent_listener_is_asked_twice_and_a_busy_machine_named_as_a_cause(
    site: Installation,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site.sections["listener"]["port"] = silent.getsockname()[1]
        fault(
            site.look(CheckName.LISTENER), "no DICOM listener answers", "--timeout 60", "ss -ltnp"
        )
        connections = 0
        silent.settimeout(1)
        while True:
            try:
                silent.accept()[0].close()
            except TimeoutError:
                break
            connections += 1
    assert connections == 3, "one to see that the port is open, two C-ECHO"


def test_a_listener_started_before_its_peers_changed_is_named(site: Installation) -> None:
    peer: Table = {"name": "ct", "ae_title": "CT", "networks": ["10.0.0.1"], "roles": ["store"]}
    site.tables.append(("peers", peer))
    with running_listener(site):
        peer |= {"ae_title": "FRACTURESCREEN", "networks": ["127.0.0.1"]}
        fault(site.look(CheckName.LISTENER), "although the settings admit us", "Restart")


def test_a_listener_that_takes_no_more_associations_is_warned_of(site: Installation) -> None:
    site.sections["listener"]["maximum_associations_per_peer"] = 1
    with running_listener(site):
        ours = load_settings(site.config).listener
        remote = RemoteAE(ours.ae_title, ours.host, ours.port)
        contexts = [(UID(Verification), ImplicitVRLittleEndian)]
        with open_association(remote, "FRACTURESCREEN", contexts, 3):
            warned(site.look(CheckName.LISTENER), "no more associations", "maximum_associations")


def test_a_port_taken_by_another_dicom_program_is_named(site: Installation) -> None:
    with ScriptedPacs() as pacs:
        site.sections["listener"]["port"] = pacs.port
        fault(site.look(CheckName.LISTENER), "another DICOM program", "ss -ltnp")


def test_a_port_taken_by_a_program_without_dicom_is_named(site: Installation) -> None:
    with MllpReceiver() as other:
        site.sections["listener"]["port"] = other.port
        fault(site.look(CheckName.LISTENER), "no DICOM listener answers there", "ss -ltnp")


def test_an_address_that_is_not_of_this_machine_is_named(site: Installation) -> None:
    site.sections["listener"]["host"] = "192.0.2.1"
    site.sections["monitor"]["listener_host"] = "127.0.0.1"
    fault(site.look(CheckName.LISTENER), "192.0.2.1", "cannot be opened")


def test_the_tls_port_presents_our_certificate_or_somebody_elses(
    site: Installation, pair: CertificatePair, tmp_path: Path
) -> None:
    use(site, pair)
    warned(site.look(CheckName.LISTENER_TLS), "not running")
    with running_listener(site):
        healthy(site.look(CheckName.LISTENER_TLS), "TLSv1.3", "until")
        (other,) = make_certificates(tmp_path / "other", ["FRACTURESCREEN"], HOSTS)
        site.sections["listener.tls"] |= {"certificate": other.certificate, "key": other.key}
        fault(site.look(CheckName.LISTENER_TLS), "another certificate", "ss -ltnp")


# Destinations


def test_a_destination_that_is_down_is_named_and_gets_no_object(site: Installation) -> None:
    destination(site, free_port())
    echo, store = site.examine(CheckName.DESTINATION_ECHO, STORE, store=True)
    fault(echo, "PACS at 127.0.0.1", "host and port", "firewalls")
    named(store, Result.SKIPPED, "destination-echo failed")


def test_a_host_name_that_nobody_knows_is_named(site: Installation) -> None:
    destination(site, 104, host="pacs.invalid")
    fault(site.look(CheckName.DESTINATION_ECHO), "pacs.invalid", "host and port")


def test_a_destination_that_does_not_know_our_ae_title_is_named(site: Installation) -> None:
    with ScriptedPacs(require_calling=["SOMEBODY"]) as pacs:
        destination(site, pacs.port)
        found = site.look(CheckName.DESTINATION_ECHO)
        fault(found, "rejected", "'FRACTURESCREEN'", "ae_title", "calling AE title")


def test_a_destination_that_falls_silent_is_bounded_and_named(site: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        destination(site, silent.getsockname()[1])
        began = time.monotonic()
        fault(site.look(CheckName.DESTINATION_ECHO), "PACS at 127.0.0.1")
        assert time.monotonic() - began < 15


def test_nothing_is_stored_unless_it_is_asked_for(site: Installation) -> None:
    with ScriptedPacs() as pacs:
        destination(site, pacs.port)
        echo, store = site.examine(CheckName.DESTINATION_ECHO, STORE)
        healthy(echo, "answers FRACTURESCREEN")
        named(store, Result.SKIPPED, "--store")
        assert pacs.received == []


def test_a_test_object_is_taken_where_no_confirmation_is_asked(site: Installation) -> None:
    with ScriptedPacs() as pacs:
        destination(site, pacs.port)
        healthy(site.look(STORE, store=True), "took a test object", "no confirmation")
        assert len(pacs.received) == 1


def test_a_destination_that_refuses_objects_is_named_with_its_status(site: Installation) -> None:
    with ScriptedPacs(status=lambda uid: 0xA700) as pacs:
        destination(site, pacs.port)
        fault(site.look(STORE, store=True), "0xA700", "allow us to store", "conformance")


def test_a_destination_that_remarks_is_warned_of(site: Installation) -> None:
    with ScriptedPacs(status=lambda uid: 0xB000) as pacs:
        destination(site, pacs.port)
        warned(site.look(STORE, store=True), "0xB000", "log")


def test_commitment_is_asked_for_as_the_settings_say(site: Installation) -> None:
    with ScriptedPacs(commitment="same") as pacs:
        destination(site, pacs.port, commitment=True)
        healthy(site.look(STORE, store=True), "commits itself")
    with ScriptedPacs(commitment="never") as pacs:
        site.tables[0][1]["port"] = pacs.port
        healthy(site.look(STORE, store=True), "its answer goes to the listener")


def test_a_destination_that_refuses_commitment_is_named(site: Installation) -> None:
    with ScriptedPacs(commitment="refused") as pacs:
        destination(site, pacs.port, commitment=True)
        fault(site.look(STORE, store=True), "0x0110", "storage commitment", "commitment")


def test_a_destination_that_loses_what_it_took_is_named(site: Installation) -> None:
    pacs = ScriptedPacs(commitment="same")
    pacs.before_answer = lambda one: pacs.lost.update({one.sop_instance_uid: 0x0112})
    with pacs:
        destination(site, pacs.port, commitment=True)
        fault(site.look(STORE, store=True), "does not keep it", "log")


# TLS of destinations


def context_of(pair: CertificatePair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def secured(site: Installation, port: int, authority: CertificatePair, **more: object) -> None:
    ca_file = authority.certificate.parent / "authority.crt"
    destination(site, port, tls_ca_file=ca_file, **more)


def test_a_destination_by_tls_is_healthy_with_its_day(
    site: Installation, pair: CertificatePair
) -> None:
    with ScriptedPacs(tls=context_of(pair)) as pacs:
        secured(site, pacs.port, pair)
        tls, echo = site.examine(CheckName.DESTINATION_TLS, CheckName.DESTINATION_ECHO)
    healthy(tls, "TLSv1.3", "until 20")
    healthy(echo)


def test_an_expired_certificate_of_a_destination_is_named(
    site: Installation, expired: CertificatePair
) -> None:
    with ScriptedPacs(tls=context_of(expired)) as pacs:
        secured(site, pacs.port, expired)
        tls, echo = site.examine(CheckName.DESTINATION_TLS, CheckName.DESTINATION_ECHO)
    fault(tls, "certificate has expired", "has to renew")
    named(echo, Result.SKIPPED, "destination-tls failed")


def test_a_certificate_of_a_destination_that_expires_soon_is_warned_of(
    site: Installation, tmp_path: Path
) -> None:
    folder = tmp_path / "soon"
    make_certificates(folder, [], [])
    (soon,) = make_certificates(folder, ["PACS"], HOSTS, days=20)
    with ScriptedPacs(tls=context_of(soon)) as pacs:
        secured(site, pacs.port, soon)
        warned(site.look(CheckName.DESTINATION_TLS), "(PACS) expires on", "before that day")


def test_a_destination_of_another_authority_name_or_pin_is_named(
    site: Installation, pair: CertificatePair, expired: CertificatePair
) -> None:
    with ScriptedPacs(tls=context_of(pair)) as pacs:
        secured(site, pacs.port, expired)
        fault(site.look(CheckName.DESTINATION_TLS), "no TLS connection", "tls_ca_file")
        site.tables.clear()
        secured(site, pacs.port, pair, tls_host_name="other.example")
        fault(site.look(CheckName.DESTINATION_TLS), "mismatch", "tls_host_name")
        site.tables.clear()
        destination(site, pacs.port, tls_pinned_sha256="00" * 32)
        fault(site.look(CheckName.DESTINATION_TLS), "pinned", "tls_pinned_sha256 anew")


def test_a_destination_that_wants_a_certificate_of_ours_is_named_with_the_settings(
    site: Installation, pair: CertificatePair, expired: CertificatePair
) -> None:
    context = context_of(pair)
    context.load_verify_locations(pair.certificate.parent / "authority.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with ScriptedPacs(tls=context) as pacs:
        secured(site, pacs.port, pair)
        fault(site.look(CheckName.DESTINATION_TLS), "tls_certificate_file and tls_key_file")
        table = site.tables[0][1]
        table |= {"tls_certificate_file": expired.certificate, "tls_key_file": expired.key}
        fault(site.look(CheckName.DESTINATION_TLS), "tls_certificate_file and tls_key_file")
        table |= {"tls_certificate_file": pair.certificate, "tls_key_file": pair.key}
        healthy(site.look(CheckName.DESTINATION_TLS))


def test_a_destination_without_tls_at_its_port_is_named(
    site: Installation, pair: CertificatePair
) -> None:
    with MllpReceiver() as plain:
        secured(site, plain.port, pair)
        fault(site.look(CheckName.DESTINATION_TLS), "no TLS connection")
    site.tables.clear()
    secured(site, free_port(), pair)
    fault(site.look(CheckName.DESTINATION_TLS), "refuses connections", "Start it")


# Sources and peers


@needs_orthanc
def test_a_source_that_knows_us_is_searched_and_sends_a_test_object_back(
    site: Installation, orthanc: Orthanc
) -> None:
    source(site, orthanc.remote)
    site.write()
    listener = load_settings(site.config).listener
    orthanc.know_modality("us", RemoteAE(listener.ae_title, "127.0.0.1", listener.port))
    names = (CheckName.SOURCE_ECHO, CheckName.SOURCE_FIND, CheckName.SOURCE_RETRIEVE)
    with running_listener(site):
        for finding in site.examine(*names, move=True):
            healthy(finding)
        settings = load_settings(site.config)
        assert not list((settings.spool_folder / "incoming").rglob("*.dcm"))
        assert sum(open_ledger(settings).status().studies.values()) == 0
    (patient,) = orthanc.get("/patients?expand")
    assert patient["MainDicomTags"]["PatientID"] == PATIENT_ID
    (instance,) = orthanc.get("/instances")
    tags = orthanc.get(f"/instances/{instance}/simplified-tags")
    assert NOTE in tags["ImageComments"]


@needs_orthanc
def test_a_source_that_does_not_know_our_listener_is_named(
    site: Installation, orthanc: Orthanc
) -> None:
    source(site, orthanc.remote)
    named(site.look(CheckName.SOURCE_RETRIEVE), Result.SKIPPED, "--move")
    assert orthanc.get("/instances") == []
    found = site.look(CheckName.SOURCE_RETRIEVE, move=True)
    fault(found, "ORTHANC", "enter the move destination FRACTURESCREEN", "[[peers]]")


@needs_orthanc
def test_a_source_that_is_fetched_from_by_c_get_sends_a_test_object_back(
    site: Installation, orthanc: Orthanc
) -> None:
    source(site, orthanc.remote, retrieval="get")
    healthy(site.look(CheckName.SOURCE_RETRIEVE, move=True), "by C-GET")
    assert list(site.data.iterdir()) == []


@needs_orthanc
def test_a_destination_that_is_read_back_finds_the_test_object(
    site: Installation, orthanc: Orthanc
) -> None:
    destination(site, orthanc.remote.port, ae_title="ORTHANC", read_back=True)
    healthy(site.look(STORE, store=True), "finds it")
    (instance,) = orthanc.get("/instances")
    tags = orthanc.get(f"/instances/{instance}/simplified-tags")
    assert (tags["Modality"], tags["ImageComments"]) == ("OT", NOTE)


def test_a_source_that_lets_nobody_query_is_named(site: Installation) -> None:
    with ScriptedPacs() as pacs:
        source(site, pacs.remote)
        found = site.look(CheckName.SOURCE_FIND)
        fault(found, "presentation contexts", "C-FIND, Study Root")


def test_a_peer_that_is_to_be_called_back_and_is_down_is_named(site: Installation) -> None:
    peer: Table = {"name": "ct", "ae_title": "CT", "networks": ["10.0.0.1"], "roles": ["receive"]}
    site.tables.append(("peers", peer | {"host": "127.0.0.1", "port": free_port()}))
    fault(site.look(CheckName.PEER_ECHO), "CT at 127.0.0.1", "host and port")


# Receivers of messages


def test_receivers_are_connected_to_and_get_no_message(
    site: Installation, pair: CertificatePair
) -> None:
    secret = site.folder / "secret"
    secret.write_text("s" * 32)
    secret.chmod(0o600)
    authority = pair.certificate.parent / "authority.crt"
    with MllpReceiver() as ris, MllpReceiver(tls=context_of(pair)) as secured_ris:
        ports = {"plain": ris.port, "secured": secured_ris.port, "away": free_port()}
        for name, port in ports.items():
            table: Table = {"name": name, "host": "127.0.0.1", "port": port}
            site.tables.append(
                ("hl7", table | ({"tls_ca_file": authority} if name == "secured" else {}))
            )
        hook: Table = {"name": "hook", "secret_file": secret, "tls_ca_file": authority}
        hook["url"] = f"https://127.0.0.1:{secured_ris.port}/"
        site.tables.append(("webhooks", hook))
        plain, by_tls, away, webhook = site.examine(CheckName.RECEIVER)
        healthy(plain, "flags check")
        healthy(by_tls, "TLSv1.3")
        fault(away, "refuses connections")
        healthy(webhook, "TLSv1.3")
        assert ris.messages == secured_ris.messages == []
    healthy(site.look(CheckName.SECRET_FILE))
