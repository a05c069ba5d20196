"""What compose.yaml starts, each service killed in turn, then all moved to another machine.

`python -m tests.bench.deployed --minutes 30`: outside containers, by compose.yaml's commands,
environment and settings, with Redis, a durable PostgreSQL and Orthanc. Studies come by C-STORE and
are repeated until they are acknowledged, as a modality does. Each service (ours, Redis, PostgreSQL,
the PACS) is killed, is away for a while and is started again. Then all is copied by `backup` while
studies come, everything but the PACS is killed, and `restore` brings it back in another folder and
an empty database. Exit status 1 unless every acknowledged study was concluded and the PACS holds
exactly its results.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from db.ledger import Ledger
from db.records import StudySummary
from db.session import make_engine
from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.storage_scu import send_instances
from tests.radiographs import Phantom, write_phantom
from tests.servers.composed import NEIGHBOURS, RUNNING, Site, composed_site, some_ports
from tests.servers.postgresql import PrivatePostgresql, private_postgresql
from tests.servers.product import wait_for
from worker.composition import utc_now

POSTGRES = "postgres"
IN_TURN = (*RUNNING, *NEIGHBOURS, POSTGRES)
STEP_S = 90.0
"""Between two kills, about."""
AWAY_S = 10.0
REPEAT_S = 2.0
SENT_AS = "ORTHANC"
"""The AE title that deploy/settings.toml lets store."""


@dataclass(frozen=True)
class Sent:
    """A study that was acknowledged."""

    phantom: Phantom
    begun_at: datetime
    """When the first try to send began."""
    tries: int


@dataclass(frozen=True)
class Killed:
    """A service that was killed, and how long it took until it was healthy."""

    name: str
    at: datetime
    healthy_after_s: float
    """From its start on."""


class Modality:
    """Sends one study after the other as long as it is open."""

    def __init__(self, site: Site, folder: Path, pause_s: float, name: str) -> None:
        self.acknowledged: list[Sent] = []
        self._node = RemoteAE("FRACTURESCREEN", "127.0.0.1", site.ports["11112"])
        self._folder, self._pause_s, self._name = folder, pause_s, name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Modality":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def send(self, phantom: Phantom) -> None:
        """Until it is acknowledged."""
        begun_at, tries = utc_now(), 1
        while not self._is_stored(phantom):
            tries += 1
            time.sleep(REPEAT_S)
        self.acknowledged.append(Sent(phantom, begun_at, tries))

    def _run(self) -> None:
        number = 0
        while not self._over.wait(self._pause_s):
            number += 1
            self.send(write_phantom(self._folder, f"{self._name} {number}"))

    def _is_stored(self, phantom: Phantom) -> bool:
        with suppress(AssociationFailed, OSError):
            results = send_instances(self._node, [phantom.path], calling_ae_title=SENT_AS)
            return all(result.stored for result in results)
        return False


def kill_in_turn(
    site: Site, postgresql: PrivatePostgresql, names: Sequence[str], minutes: float
) -> list[Killed]:
    """Each of these services at least once, for so long; evenly spread."""
    rounds = max(1, round(minutes * 60 / (STEP_S * len(names))))
    step_s = minutes * 60 / (rounds * len(names))
    began, killed = time.monotonic(), []
    for number, name in enumerate([*names] * rounds):
        while time.monotonic() < began + (number + 0.3) * step_s:
            time.sleep(0.1)
        killed.append(_kill(site, postgresql, name))
        sys.stderr.write(f"{(time.monotonic() - began) / 60:5.1f} min: {killed[-1]}\n")
    while time.monotonic() < began + minutes * 60:
        time.sleep(0.1)
    return killed


def _kill(site: Site, postgresql: PrivatePostgresql, name: str) -> Killed:
    at = utc_now()
    if name == POSTGRES:
        postgresql.restart(AWAY_S, crash=True)
        return Killed(name, at, 0.0)  # it waits for that itself
    site.kill(name)
    time.sleep(AWAY_S)
    started = time.monotonic()
    site.start(name)
    wait_for(lambda: site.healthy(name), f"{name} is healthy again", site.log)
    return Killed(name, at, time.monotonic() - started)


def start(site: Site, names: Iterable[str]) -> None:
    """Services; returns when the listener answers."""
    for name in names:
        site.start(name)
    wait_for(lambda: site.healthy("listener"), "the listener answers", site.log)


def ledger_of(site: Site) -> Ledger:
    """From the side."""
    url = (site.folder / "secrets" / "database-url").read_text().strip()
    return Ledger(make_engine(url), utc_now)


def finished(site: Site, ledger: Ledger, sent: Iterable[Sent]) -> dict[str, StudySummary]:
    """Study Instance UID → what the ledger says once nothing more will happen to it."""
    found: dict[str, StudySummary] = {}
    for one in sent:
        uid = one.phantom.study_instance_uid

        def summary(uid: str = uid) -> StudySummary | None:
            known = ledger.study_summary(uid)
            return known if known is not None and known.is_finished else None

        found[uid] = wait_for(summary, f"study {uid} is finished", site.log, 900)
    return found


def complaints(pacs: httpx.Client, found: dict[str, StudySummary]) -> list[str]:
    """Studies without an outcome, and those of which the PACS holds too little or too much."""
    told = []
    for uid, study in found.items():
        if study.outcome is None:
            told.append(f"{uid} ended {study.state} without an outcome: {study.failure_reason}")
        query = {"Level": "Instance", "Expand": True, "Query": {"StudyInstanceUID": uid}}
        held = pacs.post("/tools/find", json=query).raise_for_status().json()
        uids = sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in held)
        made = sorted(one.sop_instance_uid for one in study.results)
        if not made or uids != made:
            told.append(f"{uid}: the PACS holds {len(uids)} objects, the ledger {len(made)}")
    return told


def delivered_at(study: StudySummary) -> datetime:
    """When its last result was in the PACS."""
    sent = [delivery.sent_at for result in study.results for delivery in result.deliveries]
    return max(filter(None, sent))


def print_table(killed: list[Killed], sent: list[Sent], found: dict[str, StudySummary]) -> None:
    """A row per kill, and one for what was over before the first."""
    heads = ("killed", "healthy again, s", "studies", "sent again", "median, s", "longest, s")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    ends = {id(one): delivered_at(found[one.phantom.study_instance_uid]) for one in sent}
    for kill in (None, *killed):
        within = [one for one in sent if _met(killed, one.begun_at, ends[id(one)]) is kill]
        times = [(ends[id(one)] - one.begun_at).total_seconds() for one in within]
        again = sum(one.tries > 1 for one in within)
        middle, longest = statistics.median(times or [0]), max(times, default=0)
        what = f"{kill.name} | {kill.healthy_after_s:.1f}" if kill else "nothing yet | "
        print(f"| {what} | {len(within)} | {again} | {middle:.1f} | {longest:.1f} |")


def _met(killed: list[Killed], begun_at: datetime, ended_at: datetime) -> Killed | None:
    """The first kill while a study was under way; else the last one before it."""
    during = [one for one in killed if begun_at <= one.at < ended_at]
    before = [one for one in killed if one.at < begun_at]
    return during[0] if during else before[-1] if before else None


def move(old: Site, new: Site, folder: Path, pause_s: float) -> tuple[list[Sent], list[str]]:
    """Back up under traffic, lose the machine, restore; what was acknowledged, and complaints."""
    backup = folder / "backup"
    with Modality(old, folder / "in", pause_s, "during the backup") as modality:
        time.sleep(10 * pause_s)
        before, began = list(modality.acknowledged), time.monotonic()
        _require(old.run("dispatcher", "backup", str(backup)))
        copied_s = time.monotonic() - began
        time.sleep(3 * pause_s)
    for name in (*RUNNING, "redis"):
        old.kill(name)
    began = time.monotonic()
    _require(new.run("dispatcher", "restore", str(backup)))
    restored_s = time.monotonic() - began
    start(new, ("redis", *RUNNING))
    up_s = time.monotonic() - began
    ledger = ledger_of(new)
    lost = [one for one in modality.acknowledged if not _is_known(ledger, one)]
    told = [f"{one.phantom.study_instance_uid} is not in the copy" for one in lost if one in before]
    sender = Modality(new, folder / "in", pause_s, "after the restore")
    for one in lost:
        sender.send(one.phantom)
    with sender:
        time.sleep(5 * pause_s)
    size = sum(path.stat().st_size for path in backup.rglob("*") if path.is_file())
    print(
        f"backup of {size / 2**20:.0f} MiB in {copied_s:.1f} s, restore in {restored_s:.1f} s, "
        f"listener answered {up_s:.1f} s after its begin; {len(lost)} of "
        f"{len(modality.acknowledged)} studies came after the ledger was copied and were sent again"
    )
    known = {one.phantom.path for one in sender.acknowledged}
    rest = [one for one in modality.acknowledged if one.phantom.path not in known]
    return [*rest, *sender.acknowledged], told


def _is_known(ledger: Ledger, one: Sent) -> bool:
    return ledger.study_summary(one.phantom.study_instance_uid) is not None


def _require(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        sys.exit(done.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between two studies")
    parser.add_argument("--kill", choices=IN_TURN, action="append", help="default: all in turn")
    parser.add_argument("--folder", type=Path, help="where all lies, and stays; default: nowhere")
    options = parser.parse_args()
    ports = some_ports()
    with (
        nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as name,
        private_postgresql(durable=True) as postgresql,
        composed_site(Path(name, "old"), postgresql, ports) as old,
        composed_site(Path(name, "new"), postgresql, ports) as new,
    ):
        for neighbour in NEIGHBOURS:
            old.start(neighbour)
        _require(old.run("upgrade"))
        start(old, RUNNING)
        with Modality(old, Path(name, "in"), options.pause, "traffic") as modality:
            killed = kill_in_turn(old, postgresql, options.kill or IN_TURN, options.minutes)
        traffic = modality.acknowledged
        found = finished(old, ledger_of(old), traffic)
        print_table(killed, traffic, found)
        later, told = move(old, new, Path(name), options.pause)
        found = finished(new, ledger_of(new), [*traffic, *later])
        with old.pacs() as pacs:
            told += complaints(pacs, found)
    print("\n".join([f"{len(found)} studies acknowledged; {len(told)} complaints", *told]))
    sys.exit(1 if told else 0)


if __name__ == "__main__":
    main()
