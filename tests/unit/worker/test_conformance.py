from pathlib import Path

from tests.paths import REPOSITORY
from worker.conformance import conformance_statement
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
        'roles = ["store", "receive"]\nhost = "dx2"\nport = 104\n'
        '[[destinations]]\nname = "pacs"\nae_title = "ARCHIVE"\nhost = "pacs.test"\nport = 105\n'
    )

    statement = conformance_statement(load_settings(config))

    assert "| plain TCP port | 10400 |" in statement
    assert "| TLS port | 10401 |" in statement
    assert "| room\\|2 | DX2 | 192.0.2.0/24 | TRIAGE | store, receive |" in statement
    assert "| pacs | ARCHIVE | pacs.test | 105 |" in statement
    assert "The TLS port is open." in statement


def test_the_default_admits_this_machine_only_and_says_so() -> None:
    assert "No peers are set: callers on this machine" in conformance_statement(Settings())
