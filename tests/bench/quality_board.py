"""How long the quality board and a look of the monitor take: `python -m tests.bench.quality_board`.

A SQLite ledger of 100,000 made-up studies of 90 days (STUDIES in the environment: others), or the
database of DATABASE_URL, which must be empty.
"""

import os
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from db.activity import Activity
from db.session import make_engine, upgrade
from tests.bench.filled_ledger import fill
from tests.servers.worklist_pages import client_of
from worker.composition import utc_now

_TIMES = 7


def main() -> None:
    count = int(os.environ.get("STUDIES", "100000"))
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("DATABASE_URL", f"sqlite:///{folder}/ledger.sqlite3")
        engine = make_engine(url)
        upgrade(engine)
        fill(engine, count, 90, utc_now())
        print(f"{engine.dialect.name}, {count} studies of 90 days; median and worst of {_TIMES}")
        _measure(engine, Path(folder))


def _measure(engine: Engine, folder: Path) -> None:
    client = client_of(engine, folder)
    for days in (7, 30, 90):
        show(f"/quality?days={days}", lambda days=days: client.get(f"/quality?days={days}"))
    activity, now = Activity(engine), utc_now()
    show("mark", lambda: activity.mark(now))
    show("standing", lambda: activity.standing(now, timedelta(minutes=5), timedelta(seconds=5)))
    show("stored, once", activity.stored)
    show("screened, each minute", activity.screened)


def show(name: str, work: Callable[[], object]) -> None:
    """Print how long it takes."""
    took = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    print(f"{name:24} {sorted(took)[_TIMES // 2] * 1000:8.1f} ms {max(took) * 1000:8.1f} ms")


if __name__ == "__main__":
    main()
