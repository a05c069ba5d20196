"""One chaos run: the real processes, a schedule of kills, and what was counted.

`python -m tests.chaos.run --kills 1000 --seed 7` (or `make chaos KILLS=1000`) runs it by itself.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from db.session import make_engine
from db.states import DeliveryState, StudyState
from tests.chaos.fleet import NAMES, Fleet
from tests.chaos.modality import Modality
from tests.chaos.observer import Observer
from tests.chaos.oracle import Evidence, complaints
from tests.chaos.schedule import Kill, Step, schedule
from tests.radiographs import write_phantom
from tests.servers.ports import free_port
from tests.servers.postgresql import private_postgresql
from tests.servers.product import Product
from tests.servers.redis import private_redis
from tests.servers.scripted_pacs import Reception, ScriptedPacs
from worker.composition import open_ledger
from worker.settings import load_settings

_STEP_PATIENCE_S = 180.0
_SETTLE_PATIENCE_S = 240.0
_POLL_S = 0.005

_MOMENTARY = {Step.RECEIVE_SPOOLING}
"""Over in milliseconds: on a busy machine unseen at times, and then tried with another instance."""
_MOMENT_PATIENCE_S = 5.0
_MOMENT_POLL_S = 0.0003
_TRIES_TO_SEE = 8

SETTINGS = """
data_folder = "{data}"
{top}
[listener]
host = "127.0.0.1"
port = {port}
minimum_free_mib = 1
[limits]
decoder_timeout_s = 8
[study]
quiet_period_s = 0.3
lease_s = 10
requeue_after_s = 4
maximum_attempts = 6
[delivery]
first_backoff_s = 0.3
maximum_backoff_s = 3
timeout_s = 3
lease_s = 12
requeue_after_s = 3
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
"""


@dataclass
class Report:
    """The figures of a run."""

    seed: int
    kills: int = 0
    reached: dict[str, int] = field(default_factory=dict)
    """Step → kills at that very step."""
    missed: dict[str, int] = field(default_factory=dict)
    """Step → kills that came after waiting for it in vain."""
    studies: int = 0
    failed_studies: int = 0
    instances_acknowledged: int = 0
    objects_in_the_pacs: int = 0
    received_again: int = 0
    withdrawn: int = 0
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)


def run(
    folder: Path,
    *,
    seed: int,
    kills: int,
    production: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Kill `kills` times; with `production` on PostgreSQL and Redis, else embedded."""
    with ExitStack() as stack:
        top = ""
        if production:
            server = stack.enter_context(private_postgresql())
            database = server.url(stack.enter_context(server.database()))
            broker = stack.enter_context(private_redis(folder))
            top = f'database_url = "{database}"\nbroker_url = "{broker}"'
        pacs = stack.enter_context(ScriptedPacs())
        product = _configure(folder, top, pacs.port)
        if production:
            _upgrade(product)
        stack.callback(product.stop)
        return _Run(product, pacs, seed, kills, tell).run()


class _Run:
    def __init__(
        self,
        product: Product,
        pacs: ScriptedPacs,
        seed: int,
        kills: int,
        tell: Callable[[str], None],
    ) -> None:
        self.report = Report(seed)
        self._product, self._pacs, self._kills, self._tell = product, pacs, kills, tell
        self._fleet = Fleet(product)
        self._modality = Modality(product.node)
        self._ledger = open_ledger(product.settings)
        self._engine = make_engine(product.settings.effective_database_url)
        self._observer = Observer(
            product, self._engine, pacs, lambda uid: uid in self._modality.acknowledged
        )
        self._studies: dict[str, int] = {}

    def run(self) -> Report:
        began = time.monotonic()
        self._fleet.start()
        for kill in schedule(self.report.seed, self._kills):
            self._one(kill)
        self._modality.wait()
        self._settle()
        self._judge()
        self.report.seconds = round(time.monotonic() - began, 1)
        self._engine.dispose()
        return self.report

    def _one(self, kill: Kill) -> None:
        tries = _TRIES_TO_SEE if kill.step in _MOMENTARY else 1
        reached = any(self._reach(kill) for _ in range(tries))
        self._pacs.before_answer = lambda reception: None
        if kill.step is not Step.DELIVER_STORED or not reached:
            time.sleep(kill.delay_s)
            self._fleet.kill(*self._victims(kill.step))
        self.report.kills += 1
        counts = self.report.reached if reached else self.report.missed
        counts[kill.step.name] = counts.get(kill.step.name, 0) + 1
        ends = self._fleet.unexpected_ends()
        assert not ends, f"{ends} ended by themselves\n{self._product.log()}"
        self._tell(f"{kill.number + 1} {kill.step.name} {'reached' if reached else 'missed'}")

    def _reach(self, kill: Kill) -> bool:
        """Send this round's instances; whether its step was seen."""
        phantoms = self._phantoms(kill)
        is_reached = self._observer.watch(kill.step, phantoms[0].sop_instance_uid)
        stored = threading.Event()
        if kill.step is Step.DELIVER_STORED:
            self._kill_before_the_answer(stored)
            is_reached = stored.is_set
        self._modality.send([phantom.path for phantom in phantoms])
        if kill.step in _MOMENTARY:
            return _wait(is_reached, _MOMENT_PATIENCE_S, _MOMENT_POLL_S)
        return _wait(is_reached, _STEP_PATIENCE_S)

    def _kill_before_the_answer(self, stored: threading.Event) -> None:
        def kill(reception: Reception) -> None:
            if not stored.is_set():
                stored.set()
                self._fleet.kill("delivery worker")

        self._pacs.before_answer = kill

    def _victims(self, step: Step) -> tuple[str, ...]:
        if step is Step.POWER_CUT:
            return NAMES
        if step.victim != "triage worker":
            return (step.victim,)
        holders = (self._fleet.name_of(pid) for pid in self._observer.screening_owners())
        return (next((name for name in holders if name), "triage worker"),)

    def _phantoms(self, kill: Kill) -> list:  # type: ignore[type-arg]
        names = list(self._studies)
        name = names[kill.number % len(names)] if kill.late else f"chaos {kill.number}"
        first = self._studies.get(name, 0) + 1
        self._studies[name] = first + kill.instances - 1
        folder = self._product.folder / "in"
        return [
            write_phantom(folder, name, number) for number in range(first, first + kill.instances)
        ]

    def _settle(self) -> None:
        def at_rest() -> bool:
            status = self._ledger.status()
            ended = (StudyState.SCREENED, StudyState.FAILED)
            moving = [state for state in StudyState if state not in ended]
            return not (
                any(status.studies[state] for state in moving)
                or status.deliveries[DeliveryState.PENDING]
            )

        if not _wait(at_rest, _SETTLE_PATIENCE_S, 0.5):
            self.report.complaints.append(
                f"not at rest after {_SETTLE_PATIENCE_S} s: {self._ledger.status()}"
            )

    def _judge(self) -> None:
        evidence = Evidence(
            data_folder=self._product.settings.data_folder,
            engine=self._engine,
            acknowledged=self._modality.acknowledged,
            refused=self._modality.refused,
            receptions=self._pacs.receptions,
            delivery_kills=self._fleet.killed_at.get("delivery worker", []),
        )
        status = self._ledger.status()
        report, received = self.report, self._pacs.received
        report.complaints += complaints(evidence)
        report.studies = len(self._studies)
        report.failed_studies = status.studies[StudyState.FAILED]
        report.instances_acknowledged = len(self._modality.acknowledged)
        report.objects_in_the_pacs = len(set(received))
        report.received_again = len(received) - len(set(received))
        report.withdrawn = status.deliveries[DeliveryState.WITHDRAWN]


def _configure(folder: Path, top: str, pacs_port: int) -> Product:
    config = folder / "settings.toml"
    config.write_text(
        SETTINGS.format(data=folder / "data", top=top, port=free_port(), pacs_port=pacs_port)
    )
    return Product(folder, load_settings(config), config)


def _upgrade(product: Product) -> None:
    from db.session import upgrade

    engine = make_engine(product.settings.effective_database_url)
    upgrade(engine)
    engine.dispose()


def _wait(condition: Callable[[], bool], patience_s: float, poll_s: float = _POLL_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


def main() -> None:
    """Print the figures as JSON; exit status 1 if the oracle complains."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--production", action="store_true", help="PostgreSQL and Redis")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fracture-screen-chaos-"))
    report = run(
        folder,
        seed=arguments.seed,
        kills=arguments.kills,
        production=arguments.production,
        tell=lambda line: print(line, file=sys.stderr, flush=True),  # its output
    )
    print(json.dumps(dataclasses.asdict(report), indent=2))  # its output
    sys.exit(1 if report.complaints or report.kills < arguments.kills else 0)


if __name__ == "__main__":
    main()
