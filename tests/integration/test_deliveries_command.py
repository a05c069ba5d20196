"""`fracture-screen deliveries` as operators run it."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from db.session import make_engine, upgrade
from db.states import DeliveryState
from dicom_node.instance import RemoteAE
from tests.integration.outbox import Outbox
from tests.servers.ports import free_port
from tests.servers.scripted_pacs import ScriptedPacs
from worker.cli import app

FAILED, PENDING = DeliveryState.FAILED, DeliveryState.PENDING


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    upgrade(engine)
    return engine


@pytest.fixture
def dead(engine: Engine, tmp_path: Path) -> Outbox:
    """Two dead letters."""
    with ScriptedPacs(status=lambda uid: 0xC000) as pacs:
        outbox = Outbox(engine, tmp_path, pacs.remote)
        outbox.deliver()
    (tmp_path / "settings.toml").write_text(f'data_folder = "{tmp_path}"')
    return outbox


def call(outbox: Outbox, *arguments: str, answer: str = "") -> Result:
    config = ["--config", str(outbox.folder / "settings.toml"), "deliveries"]
    return CliRunner().invoke(app, [*config, *arguments], input=answer, env={"COLUMNS": "300"})


def test_the_list_shows_state_status_and_reason(dead: Outbox) -> None:
    shown = call(dead, "list").stdout
    assert shown.count("FAILED") == 2
    assert "0xC000" in shown
    assert json.loads(call(dead, "list", "--destination", "other", "--json").stdout) == []
    found = json.loads(call(dead, "list", "--state", "FAILED", "--json").stdout)
    assert [one["last_status"] for one in found] == ["0xC000"] * 2


def test_one_delivery_is_shown_in_full(dead: Outbox) -> None:
    number = dead.rows()[0].delivery_id
    shown = json.loads(call(dead, "show", str(number), "--json").stdout)
    assert shown["sop_instance_uid"] == dead.uids[0]
    assert shown["attempts"] == 1
    assert "deliveries list" in str(call(dead, "show", "4711").exception)


def test_a_replay_asks_first_and_does_nothing_on_no(dead: Outbox) -> None:
    refused = call(dead, "replay", "--destination", "pacs", answer="n\n")
    assert refused.exit_code == 1
    assert "2 deliveries to pacs" in refused.output
    assert dead.states() == [FAILED] * 2


def test_a_replay_in_bulk_makes_dead_letters_pending_again(dead: Outbox) -> None:
    assert "2 deliveries will be sent again" in call(dead, "replay", answer="y\n").output
    assert dead.states() == [PENDING] * 2


def test_a_replay_of_one_number_leaves_the_others(dead: Outbox) -> None:
    number = str(dead.rows()[0].delivery_id)
    assert json.loads(call(dead, "replay", number, "--yes", "--json").stdout) == {"deliveries": 1}
    assert dead.states() == [PENDING, FAILED]


def test_nothing_is_asked_where_nothing_is_meant(dead: Outbox) -> None:
    assert "0 deliveries" in call(dead, "replay", "--destination", "other").output


def test_discarded_deliveries_are_never_sent(dead: Outbox) -> None:
    call(dead, "discard", "--destination", "pacs", "--yes")
    assert dead.states() == [DeliveryState.WITHDRAWN] * 2
    assert dead.ledger.due_deliveries(10) == []


def test_only_what_was_not_sent_can_be_discarded(dead: Outbox) -> None:
    assert "only FAILED and PENDING" in str(call(dead, "discard", "--state", "SENT").exception)


def test_the_status_names_a_destination_that_does_not_answer(
    engine: Engine, tmp_path: Path
) -> None:
    outbox = Outbox(engine, tmp_path, RemoteAE("GONE", "127.0.0.1", free_port()))
    outbox.deliver()
    (tmp_path / "settings.toml").write_text(
        f'data_folder = "{tmp_path}"\n[[destinations]]\nname = "pacs"\nae_title = "GONE"\n'
        'host = "127.0.0.1"\nport = 104\n'
    )
    config = ["--config", str(tmp_path / "settings.toml"), "status"]
    shown = CliRunner().invoke(app, config, env={"COLUMNS": "300"}).output
    assert "destination pacs does not answer (1 in a row, circuit CLOSED)" in shown
    answer = json.loads(CliRunner().invoke(app, [*config, "--json"]).stdout)
    assert answer["destinations"][0]["failures"] == 1
