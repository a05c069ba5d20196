"""The drill: an installation is copied while it works and dies; another goes on from the copy."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.outcomes import Outcome
from db.records import DeliveryFilter, StudySummary
from db.states import DeliveryState, StudyState
from tests.radiographs import Phantom, write_phantom
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.product import (
    MakeProduct,
    Product,
    destination_toml,
    run_command,
    wait_for,
)
from tests.servers.scripted_pacs import ScriptedPacs

pytest_plugins = ("tests.servers.postgresql",)

QUICK = "requeue_after_s = 2\n"


@pytest.fixture(params=("sqlite", "postgresql"))
def databases(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The first line of two products' settings: database A, and an empty one for B."""
    if request.param == "sqlite":
        yield "", ""
        return
    server: PrivatePostgresql = request.getfixturevalue("postgresql_server")
    with server.database() as first, server.database() as second:
        yield f'database_url = "{server.url(first)}"', f'database_url = "{server.url(second)}"'


def test_a_new_machine_goes_on_where_the_old_one_stopped(
    databases: tuple[str, str], make_product: MakeProduct, tmp_path: Path
) -> None:
    pacs = ScriptedPacs()
    toml = QUICK + destination_toml("pacs", pacs.ae_title, pacs.port)
    old = make_product(toml, top=databases[0])
    if databases[0]:
        assert run_command("--config", str(old.config), "db", "upgrade").returncode == 0
    delivered, waiting, queued, received = _studies_in_all_states(old, pacs, tmp_path)

    sender = Sender(old, tmp_path / "meanwhile")
    backup = tmp_path / "backup"
    with sender:
        before = list(sender.acknowledged)
        done = run_command("--config", str(old.config), "backup", str(backup), "--json")
    assert done.returncode == 0, done.stderr
    again = run_command("--config", str(old.config), "backup", str(backup), "--json")
    assert json.loads(again.stdout)["kept"] >= json.loads(done.stdout)["files"] - 2
    results_before = _results(old, delivered)
    for name in list(old.processes):
        old.kill(name)
    assert len(sender.acknowledged) > len(before), "nothing arrived while the backup ran"

    new = make_product(toml, top=databases[1])
    restored = run_command("--config", str(new.config), "restore", str(backup), "--json")
    assert restored.returncode == 0, restored.stderr
    assert new.ledger.count_deliveries(DeliveryFilter(states=(DeliveryState.PENDING,))) > 0
    pacs.start()
    try:
        new.start()
        studies = [delivered, waiting, queued, received, *sender.acknowledged]
        lost = [one for one in studies if new.ledger.study_summary(one.study_instance_uid) is None]
        assert not {one.path for one in lost} & {one.path for one in (*studies[:4], *before)}
        for one in lost:  # acknowledged after the ledger was copied
            _send(new, one)
        ends = [_finished(new, one) for one in studies]
        assert all(end.state is StudyState.SCREENED and end.outcome for end in ends)
        expected = {uid for one in studies for uid in _results(new, one)}
        wait_for(lambda: expected <= set(pacs.received), "all results are in the PACS", new.log)
        assert set(pacs.received) == expected, "something was made twice, under another UID"
        assert _results(new, delivered) == results_before
        assert len(pacs.received) == len(expected), "something was sent twice"
    finally:
        new.stop()
        pacs.stop()


def test_what_came_after_the_backup_is_screened_when_it_is_sent_again(
    make_product: MakeProduct, tmp_path: Path
) -> None:
    with ScriptedPacs() as pacs:
        toml = QUICK + destination_toml("pacs", pacs.ae_title, pacs.port)
        old = make_product(toml)
        old.start()
        backup = tmp_path / "backup"
        assert run_command("--config", str(old.config), "backup", str(backup)).returncode == 0
        late = write_phantom(tmp_path / "in", "after the backup")
        assert all(result.stored for result in old.send([late.path]))
        uids = {r.sop_instance_uid for r in _finished(old, late).results}
        for name in list(old.processes):
            old.kill(name)

        new = make_product(toml)
        assert run_command("--config", str(new.config), "restore", str(backup)).returncode == 0
        assert new.ledger.study_summary(late.study_instance_uid) is None
        new.start()
        assert all(result.stored for result in new.send([late.path]))
        assert {r.sop_instance_uid for r in _finished(new, late).results} == uids
        assert set(pacs.received) == uids, "the PACS has it once, by its UID"


class Sender:
    """Sends one study after the other as long as it is open; knows what was acknowledged."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.acknowledged: list[Phantom] = []
        self._product, self._folder = product, folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            phantom = write_phantom(self._folder, f"meanwhile {number}")
            if all(result.stored for result in self._product.send([phantom.path])):
                self.acknowledged.append(phantom)
            self._stop.wait(0.5)

    def __enter__(self) -> "Sender":
        self._thread.start()
        wait_for(lambda: self.acknowledged, "the first study is acknowledged", self._product.log)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(60)


def _studies_in_all_states(
    product: Product, pacs: ScriptedPacs, folder: Path
) -> tuple[Phantom, Phantom, Phantom, Phantom]:
    """One delivered, one screened whose deliveries wait, one QUEUED, one RECEIVING."""
    phantoms = [write_phantom(folder / "in", f"study {number}") for number in range(4)]
    pacs.start()
    product.start()
    _send(product, phantoms[0])
    assert _finished(product, phantoms[0]).outcome in set(Outcome)
    pacs.stop()
    _send(product, phantoms[1])
    _wait_for_state(product, phantoms[1], StudyState.SCREENED)
    product.kill("triage worker")
    _send(product, phantoms[2])
    _wait_for_state(product, phantoms[2], StudyState.QUEUED)
    product.kill("dispatcher")
    _send(product, phantoms[3])
    _wait_for_state(product, phantoms[3], StudyState.RECEIVING)
    return phantoms[0], phantoms[1], phantoms[2], phantoms[3]


def _send(product: Product, phantom: Phantom) -> None:
    assert all(result.stored for result in product.send([phantom.path]))


def _wait_for_state(product: Product, phantom: Phantom, state: StudyState) -> None:
    def is_there() -> bool:
        found = product.ledger.study_summary(phantom.study_instance_uid)
        return found is not None and found.state is state

    wait_for(is_there, f"the study is {state}", product.log)


def _finished(product: Product, phantom: Phantom) -> StudySummary:
    return product.wait_until_finished(phantom.study_instance_uid)


def _results(product: Product, phantom: Phantom) -> set[str]:
    found = product.ledger.study_summary(phantom.study_instance_uid)
    assert found is not None
    return {one.sop_instance_uid for one in found.results}
