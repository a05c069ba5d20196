"""`status --failed` and `retry` on a ledger with a failed study."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from db.audit import Trail, Wanted
from db.records import StudyHeader
from db.session import make_engine, upgrade
from tests.servers.product import run_command
from tests.unit.db.ledger_factories import Bench, make_instance, study_uid
from worker.settings import load_settings

HEADER = StudyHeader("Muster, Anna", "muster anna", "P1", None, "F", "ACC-7", None, "Hand", "HAND")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of an installation with one failed and one waiting study."""
    path = tmp_path / "my settings.toml"
    path.write_text(f'data_folder = "{tmp_path / "data"}"\n')
    settings = load_settings(path)
    settings.data_folder.mkdir(mode=0o700)
    engine = make_engine(settings.effective_database_url)
    upgrade(engine)
    bench = Bench(engine)
    bench.ledger.register_instance(replace(make_instance(number=2), header=HEADER))
    queued = bench.queue()
    for _ in range(2):
        claim = bench.claim_queued(queued)
        bench.ledger.fail_attempt(claim, "The stored file is missing.", 2)
    bench.register(2)
    engine.dispose()
    return path


def test_failed_studies_are_listed_with_all_that_is_needed_to_retry_them(config: Path) -> None:
    done = run_command("--config", str(config), "status", "--failed", "--json")
    (study,) = json.loads(done.stdout)
    assert study.pop("failed_at").startswith("2024-03-01")
    assert study == {
        "study_instance_uid": study_uid(1),
        "accession_number": "ACC-7",
        "reason": "The stored file is missing.",
        "attempts": 2,
        "retry": f"fracture-screen --config '{config}' retry {study_uid(1)}",
    }
    assert "Muster" not in done.stdout
    table = run_command("--config", str(config), "status", "--failed").stdout
    for expected in (study_uid(1), "ACC-7", "The stored file is missing.", "2 attempts"):
        assert expected in table
    assert study_uid(2) not in table
    assert "status --failed" in run_command("--config", str(config), "status").stdout


def test_the_command_that_is_listed_retries_the_study_and_stands_in_the_trail(config: Path) -> None:
    listed = json.loads(run_command("--config", str(config), "status", "--failed", "--json").stdout)
    retry = shlex.split(listed[0]["retry"])
    assert run_command(*retry[1:]).returncode == 0
    assert run_command("--config", str(config), "status", "--failed").stdout == (
        "no study is FAILED\n"
    )
    engine = make_engine(load_settings(config).effective_database_url)
    (event,) = Trail(engine, lambda: Bench(engine).clock()).page(Wanted("retried study"), 10)
    assert event.subject == study_uid(1)
    assert "@" in event.actor
    engine.dispose()
