"""A backlog of a real PACS, swept while it is killed and while triage goes on.

Run by hand: `python -m tests.bench.sweep --studies 500 --kills 3`. FracAtlas pictures wrapped as DX
lie in Orthanc (or DCMTK's dcmqrscp). Every few seconds a study comes by itself; how long it waits
beside the sweep is compared with how long it waits at rest. The peer in the same run is a plain
sequential script over the same files (`fracture-screen screen`, model loading left out).

Exit status 1 when a study was lost, screened twice, or has no visible outcome.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from db.states import SweepState, SweepStudyState
from db.sweep_records import NewSweep
from db.sweeps import Sweeps
from dicom_node.instance import RemoteAE
from dicom_node.storage_scu import send_instances
from tests.radiographs import FRACATLAS, NOW, write_phantom
from tests.servers.dcmqrscp import running_dcmqrscp
from tests.servers.orthanc import running_orthanc
from tests.servers.product import Product, configure, destination_toml, source_toml
from worker.composition import make_screener, open_database, utc_now
from worker.offline import Output, screen_files, wrap_picture
from worker.settings import load_settings
from worker.sweeps.progress import progress_of
from worker.sweeps.selection import Selection

SERVICES = ("listener", "dispatcher", "screening worker", "delivery worker", "sweep worker")
VICTIMS = ("sweep worker", "screening worker", "dispatcher")
AT_REST, EVERY_S = 12, 4.0
APART = timedelta(hours=7)


@dataclass
class Triage:
    """Studies that come by themselves, one after the other, and how long each waits."""

    product: Product
    folder: Path
    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def one(self) -> float:
        """Seconds from C-STORE to the outcome."""
        self.sent += 1
        phantom = write_phantom(self.folder, f"triage {self.sent}")
        began = time.monotonic()
        self.product.send([phantom.path])
        while True:
            summary = self.product.ledger.study_summary(phantom.study_instance_uid)
            if summary is not None and summary.outcome is not None:
                return time.monotonic() - began
            time.sleep(0.02)

    def go_on(self, waits: list[float]) -> None:
        while not self.over.wait(EVERY_S):
            waits.append(self.one())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--source", choices=("orthanc", "dcmqrscp"), default="orthanc")
    parser.add_argument("--retrieval", choices=("move", "get"), default="move")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = wrapped(options.studies, folder / "in")
        alone_s = sequential(paths, folder / "alone")
        sys.exit(0 if swept(options, paths, folder, alone_s) else 1)


def wrapped(count: int, folder: Path) -> list[Path]:
    """As many pictures as studies of their own, seven hours apart."""
    pictures = sorted((FRACATLAS / "images").iterdir())
    every = max(1, len(pictures) // count)
    return [
        wrap_picture(picture, folder, NOW - APART * number)
        for number, picture in enumerate(pictures[::every][:count])
    ]


def sequential(paths: list[Path], out: Path) -> float:
    """Seconds per study of the offline pipeline, result objects included, over up to 100."""
    screener, some = make_screener(load_settings()), paths[:100]
    screen_files(some[:2], screener, Output(out / "warm"), clock=utc_now)
    began = time.monotonic()
    screen_files(some, screener, Output(out), clock=utc_now)
    return (time.monotonic() - began) / len(some)


@contextmanager
def archive(kind: str, folder: Path, us: RemoteAE) -> Iterator[RemoteAE]:
    """The PACS that is swept."""
    folder.mkdir()
    if kind == "dcmqrscp":
        with running_dcmqrscp(folder, {"us": us}) as remote:
            yield remote
    else:
        with running_orthanc(folder, {"us": us}) as server:
            yield server.remote


def swept(options: argparse.Namespace, paths: list[Path], folder: Path, alone_s: float) -> bool:
    """Sweep, kill, and look whether all is there once."""
    (folder / "pacs").mkdir()
    with running_orthanc(folder / "pacs") as pacs:
        product = configure(
            folder / "product", destination_toml("pacs", "ORTHANC", pacs.remote.port)
        )
        with archive(options.source, folder / "archive", product.node) as source:
            toml = source_toml(
                "archive", source, retrieval=options.retrieval, studies_per_hour=100_000
            )
            with product.config.open("a") as config:
                config.write(toml)
            sent = send_instances(source, paths, calling_ae_title="MODALITY")
            assert all(one.stored for one in sent)
            product = Product(product.folder, load_settings(product.config), product.config)
            product.start(*SERVICES)
            try:
                return _run(options, product, alone_s, folder)
            finally:
                product.stop()


def _run(options: argparse.Namespace, product: Product, alone_s: float, folder: Path) -> bool:
    triage = Triage(product, folder / "triage")
    triage.one()  # until the worker has loaded everything
    at_rest = [triage.one() for _ in range(AT_REST)]
    sweeps = Sweeps(open_database(product.settings), utc_now)
    first_day = (NOW - APART * options.studies).date()
    selection = Selection(first_day=first_day, last_day=NOW.date(), any_time=True)
    begun = sweeps.begin(NewSweep("archive", "", selection.to_json(), "bench"))
    assert begun is not None
    beside: list[float] = []
    live = threading.Thread(target=triage.go_on, args=(beside,))
    live.start()
    began, kills = time.monotonic(), 0
    while True:
        record, tally = sweeps.find(begun.id), sweeps.tally(begun.id)
        assert record is not None
        progress = progress_of(record, tally, utc_now())
        sys.stderr.write(f"\r{progress.screened} of {options.studies} screened, {kills} kills ")
        due = progress.screened >= (kills + 1) * options.studies / (options.kills + 1)
        if due and kills < options.kills:
            for name in VICTIMS:
                product.kill(name)
            product.start(*VICTIMS)
            kills += 1
        if record.state is SweepState.FINISHED and not progress.to_do:
            break
        time.sleep(0.5)
    seconds = time.monotonic() - began
    triage.over.set()
    live.join()
    sys.stderr.write("\n")
    return _print(options, sweeps, begun.id, product, seconds, alone_s, at_rest, beside)


def _print(
    options: argparse.Namespace,
    sweeps: Sweeps,
    sweep_id: int,
    product: Product,
    seconds: float,
    alone_s: float,
    at_rest: list[float],
    beside: list[float],
) -> bool:
    tally = sweeps.tally(sweep_id)
    summaries = [
        product.ledger.study_summary(line.study_instance_uid) for line in sweeps.swept(sweep_id)
    ]
    twice = sum(one is not None and one.revision > 1 for one in summaries)
    found = len(summaries)
    taken, concluded = tally.studies[SweepStudyState.TAKEN], sum(tally.outcomes.values())
    for line in sweeps.swept(sweep_id):
        if line.state is not SweepStudyState.TAKEN:
            print(f"{line.study_instance_uid} {line.state}: {line.reason}")
    rate = options.studies / seconds * 3600
    print(
        f"{options.studies} studies of {options.source} by {options.retrieval}, "
        f"{options.kills} times killed: {found} found, {taken} taken, {concluded} concluded, "
        f"{twice} twice; "
        f"{ {str(key): value for key, value in tally.outcomes.items() if value} }\n"
        f"{rate:.0f} studies an hour; a sequential script {3600 / alone_s:.0f}: "
        f"ratio {rate * alone_s / 3600:.2f}\n"
        f"triage, C-STORE to outcome: at rest median {statistics.median(at_rest):.2f} s, "
        f"p95 {_p95(at_rest):.2f} s; beside the sweep median {statistics.median(beside):.2f} s, "
        f"p95 {_p95(beside):.2f} s ({len(beside)} studies, quiet period "
        f"{product.settings.study.quiet_period_s} s, kills among them)"
    )
    return taken == concluded == options.studies and not twice


def _p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


if __name__ == "__main__":
    main()
