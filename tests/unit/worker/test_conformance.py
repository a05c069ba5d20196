from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import cast

from pydicom import Dataset
from pynetdicom.association import Association

from dicom_node.instance import RemoteAE
from dicom_node.query import Period, Queries
from tests.paths import REPOSITORY
from worker.conformance import QUERY_KEYS, conformance_statement
from worker.settings import Settings, load_settings


def test_the_statement_in_the_repository_is_that_of_the_default_settings() -> None:
    committed = (REPOSITORY / "docs" / "conformance.md").read_text()
    assert committed == conformance_statement(Settings()), (
        "write it again: fracture-screen conformance > docs/conformance.md"
    )


def test_the_statement_tells_ports_peers_and_destinations_of_the_live_settings(
    tmp_path: Path,
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        '[listener]\nport = 10400\nae_title = "TRIAGE"\n'
        '[listener.tls]\nport = 10401\ncertificate = "c"\nkey = "k"\nauthority = "a"\n'
        '[[peers]]\nname = "room|2"\nae_title = "DX2"\nnetworks = ["192.0.2.0/24"]\n'
        'roles = ["store", "receive"]\nhost = "dx2"\nport = 104\ntls_ca_file = "ca"\n'
        '[[destinations]]\nname = "pacs"\nae_title = "ARCHIVE"\nhost = "pacs.test"\nport = 105\n'
        "read_back = true\n"
        '[[sources]]\nname = "old"\nae_title = "OLD"\nhost = "old.test"\nport = 106\n'
        'retrieval = "get"\n'
    )

    statement = conformance_statement(load_settings(config))

    assert "| plain TCP port | 10400 |" in statement
    assert "| TLS port | 10401 |" in statement
    assert "| room\\|2 | DX2 | 192.0.2.0/24 | TRIAGE | store, receive |" in statement
    assert "| pacs | ARCHIVE | pacs.test | 105 | no | C-FIND |" in statement
    assert "| old | OLD | old.test | 106 | no | C-GET |" in statement
    assert "on a new association to room|2 (TLS); to other peers" in statement
    assert "The TLS port is open." in statement


def test_we_are_user_of_commitment_and_query_and_provider_of_commitment_alone() -> None:
    rows = conformance_statement(Settings()).splitlines()
    assert "| Storage Commitment Push Model | 1.2.840.10008.1.20.1 | yes | yes |" in rows
    query = "Study Root Query/Retrieve Information Model – FIND | 1.2.840.10008.5.1.4.1.2.2.1"
    assert f"| {query} | yes | no |" in rows
    for model in ("MOVE", "GET"):
        assert any(f"Model – {model} | " in row and row.endswith("| yes | no |") for row in rows)


class Asked:
    """An association that remembers what it was asked."""

    is_established = True

    def __init__(self) -> None:
        self.queries: list[Dataset] = []

    def send_c_find(self, query: Dataset, *_: object) -> Iterator[tuple[Dataset, None]]:
        self.queries.append(query)
        success = Dataset()
        success.Status = 0
        return iter([(success, None)])


def test_the_keys_of_queries_are_those_that_are_sent() -> None:
    asked = Asked()
    queries = Queries(cast(Association, asked), RemoteAE("A", "h", 104), 10)
    queries.studies(Period(datetime(2026, 3, 4), datetime(2026, 3, 4, 5)), "DX")
    queries.series("1.2")
    queries.instances("1.2", "1.2.3")
    sent = {
        (
            "all" if element.keyword == "SpecificCharacterSet" else query.QueryRetrieveLevel,
            element.name,
        )
        for query in asked.queries
        for element in query
        if element.keyword != "QueryRetrieveLevel"
    }
    assert sent == {(level, name) for level, name, _ in QUERY_KEYS}


def test_how_long_instances_are_kept_is_said_for_whom_we_answer_storage_commitment() -> None:
    assert "No instance is ever removed" in conformance_statement(Settings())
    kept = conformance_statement(Settings(retention={"instances_days": 90}))
    assert "kept for 90 days" in kept
    assert "if no reader reviewed it" in kept
    assert "fails with 0x0112" in kept


def test_the_default_admits_this_machine_only_and_says_so() -> None:
    assert "No peers are set: callers on this machine" in conformance_statement(Settings())
