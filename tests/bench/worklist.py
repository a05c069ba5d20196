"""How fast the worklist's pages come: `python -m tests.bench.worklist [--studies 100000]`.

Fills a ledger by plain inserts and prints p50 and p95 in milliseconds, of the queries alone and of
whole HTML requests, on SQLite and PostgreSQL.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine, insert, text

from db.outcomes import Outcome
from db.session import make_engine, upgrade
from db.states import StudyState, SweepState
from db.study_headers import fold
from db.tables import Analysis, Finding, Instance, Study, StudyHeader, Sweep
from db.worklist import Worklist
from db.worklist_records import ModelLabel, Position, WorklistFilter
from dicom_node.radiograph import PixelLimits, read_radiographs
from tests.correctors import corrector_over
from tests.servers.postgresql import private_postgresql
from tests.servers.web import serve
from tests.worklist_people import session_cookie
from worker.composition import utc_now
from worker.worklist_pictures import RenderedPictures
from worklist.app import make_app
from worklist.pages.query import cursor_text, filter_query
from worklist.parts import Parts, SessionRules

START = datetime(2025, 1, 1, tzinfo=UTC)
_FAMILIES = ("Müller", "Nguyen", "García", "Kowalska", "Smith", "Yılmaz", "Rossi", "Okafor")
_PARTS = ("HAND", "WRIST", "FOOT", "ANKLE", "KNEE", "ELBOW", "SHOULDER", "HIP")
_SHARES = {
    Outcome.NEGATIVE: 0.72,
    Outcome.POSITIVE: 0.12,
    Outcome.DOUBTFUL: 0.1,
    Outcome.NOT_ANALYSED: 0.055,
    Outcome.FAILED: 0.005,
}
_BLOCK = 2000
RARE_PART, OLD_MODEL = "CLAVICLE", ModelLabel("fracture-mobilenetv2", "0.9")
NEW_MODEL = ModelLabel("fracture-mobilenetv2", "1.0")


def fill(engine: Engine, studies: int, seed: int = 1) -> None:
    """One study a minute; every 500th waits; the oldest tenth by another model; 1 of 4 of a sweep,
    and all of the oldest 2 % came by themselves."""
    chance = random.Random(seed)
    with engine.begin() as connection:
        connection.execute(
            insert(Sweep).values(
                id=1,
                source="",
                folder="/x",
                selection={},
                state=SweepState.FINISHED,
                actor="",
                created_at=START,
                advanced_at=START,
            )
        )
        for first in range(1, studies + 1, _BLOCK):
            numbers = range(first, min(first + _BLOCK, studies + 1))
            rows = [_rows(number, studies, chance) for number in numbers]
            for table in (Study, StudyHeader, Analysis, Instance, Finding):
                connection.execute(insert(table), [row[table] for row in rows if table in row])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))


def _rows(number: int, studies: int, chance: random.Random) -> dict[type, dict[str, Any]]:
    at, waits = START + timedelta(minutes=number), number % 500 == 0
    uid = f"1.2.840.99999.{number * 7919}"
    sweep = 1 if number > studies // 50 and chance.random() < 0.25 else None
    rows: dict[type, dict[str, Any]] = {
        Study: {
            "id": number,
            "study_instance_uid": uid,
            "revision": 1,
            "attempts": 1,
            "interruptions": 0,
            "state": StudyState.READY if waits else StudyState.SCREENED,
            "calling_ae_title": "XRAY1",
            "received_at": at,
            "last_instance_at": at,
            "state_changed_at": at,
            "failure_reason": "",
            "sweep_id": sweep,
        },
        StudyHeader: _header(number, chance),
        Instance: {
            "study_id": number,
            "series_instance_uid": uid + ".1",
            "sop_instance_uid": uid + ".1.1",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
            "calling_ae_title": "XRAY1",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "path": f"spool/{uid}",
            "sha256": "0" * 64,
            "size": 1,
            "received_at": at,
        },
    }
    if not waits:
        rows |= _conclusion(number, studies, at, sweep, uid, chance)
    return rows


def _header(number: int, chance: random.Random) -> dict[str, Any]:
    name = f"{chance.choice(_FAMILIES)}, {chance.choice(('Anna', 'Jo', 'Li'))} {number}"
    part = RARE_PART if number % 5000 == 1 else chance.choice(_PARTS)
    return {
        "study_id": number,
        "patient_name": name,
        "patient_name_folded": fold(name),
        "patient_id": f"PAT{number:07d}",
        "patient_sex": "F",
        "accession_number": f"ACC{number:08d}",
        "study_description": "X-ray",
        "body_parts": part,
    }


def _conclusion(
    number: int, studies: int, at: datetime, sweep: int | None, uid: str, chance: random.Random
) -> dict[type, dict[str, Any]]:
    (outcome,) = chance.choices(list(_SHARES), list(_SHARES.values()))
    model = OLD_MODEL if number < studies // 10 else NEW_MODEL
    return {
        Analysis: {
            "id": number,
            "study_id": number,
            "revision": 1,
            "model_name": model.name,
            "model_version": model.version,
            "model_digest": "0" * 64,
            "outcome": outcome,
            "reason": "highest probability 0.97 in image 1",
            "probability": chance.random(),
            "started_at": at,
            "finished_at": at + timedelta(seconds=40),
            "sweep_id": sweep,
        },
        Finding: {
            "analysis_id": number,
            "sop_instance_uid": uid + ".1.1",
            "frame_number": 1,
            "analysed": True,
            "reason": "",
            "probability": 0.5,
            "operating_point": "",
            "body_part_examined": "HAND",
            "rows": 2000,
            "columns": 1600,
        },
    }


def cases(studies: int) -> Iterator[tuple[str, WorklistFilter, Position | None]]:
    """Name, filter and start of each page that is asked for."""
    everything = WorklistFilter()
    deep = Position(START + timedelta(minutes=studies // 20), True, studies // 20)
    yield "first page", everything, None
    yield "deep page", everything, deep
    for outcome in Outcome:
        yield outcome.value.lower(), replace(everything, outcomes=frozenset({outcome})), None
    flagged = frozenset({Outcome.POSITIVE, Outcome.DOUBTFUL})
    yield "fracture likely or possible", replace(everything, outcomes=flagged), None
    yield "the same, deep", replace(everything, outcomes=flagged), deep
    yield "waiting", replace(everything, waiting=True), None
    yield "triage", replace(everything, swept=False), None
    yield "sweep", replace(everything, swept=True), None
    yield "sweep, deep", replace(everything, swept=True), deep
    yield "body part", replace(everything, body_part="HAND"), None
    yield "rare body part", replace(everything, body_part=RARE_PART), None
    yield "old model", replace(everything, model=OLD_MODEL), None
    yield (
        "one old day",
        replace(everything, since=START + timedelta(days=1), until=START + timedelta(days=2)),
        None,
    )
    yield "search: one patient", replace(everything, search="PAT0000777"), None
    yield "search: many names", replace(everything, search="muller"), None
    yield "search: all IDs", replace(everything, search="PAT"), None
    yield "search: nobody", replace(everything, search="nobody"), None
    yield "search in old model", replace(everything, search="PAT", model=OLD_MODEL), None


def measure(ask: Callable[[], object], times: int) -> tuple[float, float]:
    """p50 and p95 in ms, after one to warm up."""
    ask()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - began))
    shares = quantiles(taken, n=20, method="inclusive")
    return shares[9], shares[18]


@contextmanager
def databases() -> Iterator[Iterator[tuple[str, Engine]]]:
    """Both kinds, empty but for their tables."""

    def made() -> Iterator[tuple[str, Engine]]:
        yield "SQLite", make_engine(f"sqlite:///{folder}/ledger.sqlite3")
        yield "PostgreSQL", make_engine(server.url(database))

    with (
        tempfile.TemporaryDirectory() as folder,
        private_postgresql() as server,
        server.database() as database,
    ):
        yield made()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table per database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40, help="Of each page.")
    chosen = parser.parse_args(arguments)
    with databases() as engines:
        for name, engine in engines:
            upgrade(engine)
            fill(engine, chosen.studies)
            print(f"\n{name}, {chosen.studies} studies: p50 / p95 in ms of {chosen.times}")
            show(engine, chosen.studies, chosen.times)
            engine.dispose()


def show(engine: Engine, studies: int, times: int) -> None:
    """Each page as a query and as a whole request over HTTP, by a server in this process."""
    worklist = Worklist(engine, utc_now)
    print(f"  {'':28}{'query':>18}{'HTML':>18}")
    app = make_site(engine)
    cookies = session_cookie(app.state.parts)
    with serve(app) as address, httpx.Client(base_url=address, cookies=cookies) as client:
        for name, wanted, start in cases(studies):
            query = measure(partial(worklist.page, wanted, start), times)
            page = measure(partial(_get, client, _path(wanted, start)), times)
            print(f"  {name:28}{_figures(query)}{_figures(page)}", flush=True)
        for name, ask in (("counts", worklist.counts), ("choices", worklist.choices)):
            print(f"  {name:28}{_figures(measure(ask, times))}", flush=True)


def make_site(engine: Engine) -> FastAPI:
    """The worklist over a filled ledger."""
    rules = SessionRules(timedelta(1), timedelta(1), 5, timedelta(1), secure_cookies=False)
    parts = Parts(
        engine=engine,
        clock=utc_now,
        pictures=RenderedPictures(Path(), read_radiographs, PixelLimits()),
        data_folder=Path(),
        time_zone=ZoneInfo("Europe/Berlin"),
        viewer_url="",
        corrector=corrector_over(engine, utc_now, Path()),
        sessions=rules,
        trusted_proxy=None,
    )
    return make_app(parts)


def _get(client: httpx.Client, path: str) -> None:
    client.get(path).raise_for_status()


def _path(wanted: WorklistFilter, start: Position | None) -> str:
    more = {} if start is None else {"after": cursor_text(start)}
    return "/?" + filter_query(wanted, ZoneInfo("Europe/Berlin"), **more)


def _figures(measured: tuple[float, float]) -> str:
    return f"{measured[0]:10.1f} /{measured[1]:6.1f}"


if __name__ == "__main__":
    main()
