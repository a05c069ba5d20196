"""How long a study that comes by itself waits while a thousand of the backlog are queued.

Run by hand: `python -m tests.bench.triage_first`. One screening worker, on the embedded broker and
on Redis, each with the same studies at rest in the same run: the ratio says what the backlog costs.
"""

import argparse
import statistics
import tempfile
from datetime import timedelta
from pathlib import Path

from db.sweep_records import Candidate, NewSweep
from db.sweeps import Sweeps
from dicom_node.received import describe_file
from tests.bench.sweep import AT_REST, Triage
from tests.radiographs import write_phantom
from tests.servers.product import Product, configure
from tests.servers.redis import private_redis
from worker.composition import open_database, open_ledger, open_spool, utc_now
from worker.intake import Intake

SERVICES = ("listener", "dispatcher", "screening worker")
BESIDE = 40


def main() -> None:
    """A line per broker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backlog", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "redis").mkdir()
        with private_redis(folder / "redis") as url:
            for broker, top in (("embedded", ""), ("Redis", f'broker_url = "{url}"')):
                product = configure(folder / broker, top=top)
                try:
                    print(_line(broker, options.backlog, product))
                finally:
                    product.stop()


def _line(broker: str, backlog: int, product: Product) -> str:
    product.start(*SERVICES)
    triage = Triage(product, product.folder / "triage")
    triage.one()  # until the worker has loaded everything
    at_rest = [triage.one() for _ in range(AT_REST)]
    product.kill("screening worker")  # so that all of them wait
    _queue_backlog(product, backlog)
    product.start("screening worker")
    triage.one()
    beside = [triage.one() for _ in range(BESIDE)]
    left = _left(product)
    ratio = statistics.median(beside) / statistics.median(at_rest)
    return (
        f"{broker}: at rest median {statistics.median(at_rest):.2f} s; with {backlog} studies of "
        f"the backlog before it median {statistics.median(beside):.2f} s, p95 "
        f"{statistics.quantiles(beside, n=20)[-1]:.2f} s, ratio {ratio:.2f}; {left} still waited "
        f"at the end"
    )


def _queue_backlog(product: Product, count: int) -> None:
    """As a sweep takes studies in; they become ready once they are quiet."""
    engine = open_database(product.settings)
    sweeps, spool = Sweeps(engine, utc_now), open_spool(product.settings)
    intake = Intake(open_ledger(product.settings), spool, product.settings.data_folder)
    begun = sweeps.begin(NewSweep("archive", "", {}, "bench"))
    assert begun is not None
    for number in range(count):
        phantom = write_phantom(product.folder / "backlog", f"backlog {number}")
        candidate = Candidate(phantom.study_instance_uid)
        sweeps.record_search(begun.id, [candidate], "", searched=False)
        (item,) = sweeps.to_see_to(begun.id, 1)
        sweeps.begin_fetch(item.id, 1, utc_now() + timedelta(minutes=1))
        spooled = spool.write(phantom.path.read_bytes())
        intake.register(describe_file(spooled.path, "ARCHIVE"))
        sweeps.end_fetch(item.id, 1)
        phantom.path.unlink()


def _left(product: Product) -> int:
    return Sweeps(open_database(product.settings), utc_now).under_way()


if __name__ == "__main__":
    main()
