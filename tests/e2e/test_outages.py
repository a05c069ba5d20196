"""PACS, Redis and PostgreSQL go away in mid-traffic and come back: everything arrives, once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import make_engine, upgrade
from db.states import CircuitState, DeliveryState, StudyState
from tests.radiographs import Phantom, write_phantom
from tests.servers.postgresql import PrivatePostgresql, private_postgresql
from tests.servers.product import MakeProduct, Product, run_command, wait_for
from tests.servers.redis import PrivateRedis, restartable_redis
from tests.servers.scripted_pacs import ScriptedPacs

SCREENED = StudyState.SCREENED


def toml(*destinations: tuple[str, int]) -> str:
    tables = [
        f'[[destinations]]\nname = "{name}"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {port}\n'
        for name, port in destinations
    ]
    return (
        "requeue_after_s = 5\n"
        "[delivery]\nfirst_backoff_s = 1\nmaximum_backoff_s = 4\ntimeout_s = 3\nlease_s = 15\n"
        "requeue_after_s = 5\n" + "".join(tables)
    )


@pytest.fixture
def pacs() -> Iterator[ScriptedPacs]:
    with ScriptedPacs() as pacs:
        yield pacs


def send(product: Product, folder: Path, *names: str) -> list[Phantom]:
    phantoms = [write_phantom(folder, name) for name in names]
    assert all(result.stored for result in product.send([one.path for one in phantoms]))
    return phantoms


def wait_for_all(product: Product, pacs: ScriptedPacs, phantoms: list[Phantom]) -> None:
    """Each study screened, each result in the PACS, none of them twice."""
    expected: set[str] = set()
    for phantom in phantoms:
        summary = product.wait_until_finished(phantom.study_instance_uid)
        assert summary.state is SCREENED
        deliveries = [one for result in summary.results for one in result.deliveries]
        assert {one.state for one in deliveries if one.destination == "pacs"} == {
            DeliveryState.SENT
        }
        expected |= {result.sop_instance_uid for result in summary.results}
    assert sorted(pacs.received) == sorted(expected)


def test_a_dead_pacs_delays_no_other_and_gets_everything_when_it_is_back(
    make_product: MakeProduct, pacs: ScriptedPacs, tmp_path: Path
) -> None:
    dead = ScriptedPacs()
    product = make_product(toml(("pacs", pacs.port), ("dead", dead.port)))
    product.start()
    phantoms = send(product, tmp_path / "in", "first", "second", "third", "fourth")

    def circuit() -> CircuitState | None:
        found = product.ledger.status().circuits
        return found[0].state if found else None

    wait_for(lambda: circuit() in ("OPEN", "HALF_OPEN"), "the circuit opens", product.log)
    wait_for(lambda: len(pacs.received) >= len(phantoms), "the other PACS gets its", product.log)
    shown = run_command("--config", str(product.config), "status")
    assert "destination dead does not answer" in shown.stdout
    with dead:
        wait_for_all(product, pacs, phantoms)
        assert sorted(dead.received) == sorted(pacs.received)
        assert circuit() is None


def test_a_pacs_that_restarts_in_mid_traffic_gets_everything(
    make_product: MakeProduct, pacs: ScriptedPacs, tmp_path: Path
) -> None:
    product = make_product(toml(("pacs", pacs.port)))
    product.start()
    first = send(product, tmp_path / "in", "first", "second")
    wait_for(lambda: pacs.received, "the first result arrives", product.log)
    pacs.stop()
    second = send(product, tmp_path / "in", "third", "fourth")
    time.sleep(2)
    pacs.start()

    for phantom in (*first, *second):
        product.wait_until_finished(phantom.study_instance_uid)
    # An answer that the restart cut off may have cost a repetition: of the same bytes.
    copies = {(one.sop_instance_uid, one.digest) for one in pacs.receptions}
    assert len(copies) == len({uid for uid, _ in copies})


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[PrivateRedis]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with restartable_redis(folder) as server:
        yield server


def test_a_redis_that_is_flushed_and_restarted_loses_nothing(
    make_product: MakeProduct, pacs: ScriptedPacs, redis_server: PrivateRedis, tmp_path: Path
) -> None:
    product = make_product(toml(("pacs", pacs.port)), top=f'broker_url = "{redis_server.url}"')
    product.start()
    phantoms = send(product, tmp_path / "in", "before")
    wait_for_all(product, pacs, phantoms)

    phantoms += send(product, tmp_path / "in", "flushed 1", "flushed 2")
    for _ in range(20):
        redis_server.flush()
        time.sleep(0.1)
    wait_for_all(product, pacs, phantoms)

    phantoms += send(product, tmp_path / "in", "restarted 1", "restarted 2")
    redis_server.stop()
    time.sleep(3)
    # Reception needs no broker.
    phantoms += send(product, tmp_path / "in", "while it is away")
    redis_server.start()
    wait_for_all(product, pacs, phantoms)
    assert all(process.poll() is None for process in product.processes.values())


@pytest.fixture
def own_postgresql() -> Iterator[PrivatePostgresql]:
    with private_postgresql() as server:
        yield server


def test_a_postgresql_that_restarts_in_mid_traffic_loses_nothing(
    make_product: MakeProduct,
    pacs: ScriptedPacs,
    own_postgresql: PrivatePostgresql,
    tmp_path: Path,
) -> None:
    with own_postgresql.database() as name:
        url = own_postgresql.url(name)
        engine = make_engine(url)
        upgrade(engine)
        engine.dispose()
        product = make_product(toml(("pacs", pacs.port)), top=f'database_url = "{url}"')
        product.start()
        phantoms = send(product, tmp_path / "in", "before")
        wait_for_all(product, pacs, phantoms)

        phantoms += send(product, tmp_path / "in", "in the middle 1", "in the middle 2")
        own_postgresql.restart(pause_s=3)

        for phantom in phantoms:
            product.wait_until_finished(phantom.study_instance_uid)
        phantoms += send(product, tmp_path / "in", "afterwards")
        wait_for_all(product, pacs, phantoms)
        assert all(process.poll() is None for process in product.processes.values())
        product.stop()
