"""`fracture-screen demo`: the whole product on free loopback ports, with a little stand-in PACS."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import cv2
import pydicom

from db.ledger import Ledger
from db.records import StudySummary
from db.states import Outcome
from dicom_node.errors import AssociationFailed, UnreadableInstance
from dicom_node.image_file import wrap_as_dx
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.received import describe_file
from dicom_node.receiver import Receipt
from dicom_node.result_file import write_result
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import echo, send_instances
from dicom_node.uids import derived_uid
from models.bundle import load_bundle
from worker.composition import open_ledger, utc_now
from worker.errors import DemoFailed
from worker.logs import configure_logging
from worker.offline import find_files, is_picture, wrap_picture
from worker.phantom import draw_phantom
from worker.settings import Settings, load_settings

_NODE, _PACS, _MODALITY = "FRACTURESCREEN", "DEMOPACS", "DEMOMODALITY"
_SETTINGS, _LOG = "settings.toml", "log.jsonl"
_PATIENCE_S = 180.0
_POLL_S = 0.1
_PHANTOMS: tuple[tuple[str, tuple[bool, ...]], ...] = (
    ("ONE", (True,)),
    ("TWO", (False,)),
    ("THREE", (False, True)),
)
"""Name of each synthetic study, and which of its radiographs are drawn with a fracture."""


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """What became of one study; `results` are the files that arrived in the stand-in PACS."""

    study_instance_uid: str
    outcome: str
    probability: float | None
    reason: str
    results: list[str]

    @property
    def complete(self) -> bool:
        """Whether it has an outcome other than FAILED and its results came back."""
        return self.outcome not in ("", Outcome.FAILED) and bool(self.results)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The demo's answer. `not_sent` tells of files that never became part of a study."""

    seconds: float
    model: str
    studies: list[DemoStudy]
    not_sent: list[str]


Progress = Callable[[str, int, int], None]
"""Called with what is done (of how many): "radiographs sent" or "studies finished"."""


def run_demo(folder: Path | None, out: Path, on_progress: Progress) -> DemoResult:
    """Start everything, send, wait, stop everything.

    Args:
        folder: DICOM, PNG or JPEG files to send; None: a few synthetic phantoms.
        out: where data, sent instances and results are left for a look.

    Raises:
        DemoFailed: `out` is in use, a part did not start, or nothing moved for three minutes.
        NothingToDo: `folder` has no file.
    """
    _make_empty(out)
    started = time.monotonic()
    model = load_bundle(load_settings().model.bundle).identity
    sent, not_sent = _instances_to_send(folder, out / "sent")
    with (out / _LOG).open("a") as log, _stand_in_pacs(out / "pacs", log) as pacs:
        settings = _settings(out, pacs.port)
        with _product(settings, out, log):
            ledger = open_ledger(settings)
            not_sent += _send(settings, sent, on_progress)
            uids = list(dict.fromkeys(one.study_instance_uid for one in sent))
            summaries = _wait(ledger, uids, on_progress)
    return DemoResult(
        round(time.monotonic() - started, 1),
        model.label,
        [_study(summary, out / "pacs" / "received") for summary in summaries],
        not_sent,
    )


def _make_empty(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise DemoFailed(f"{out} is not empty; name another folder with --out, or remove it")
    out.mkdir(parents=True, exist_ok=True)


def _instances_to_send(
    folder: Path | None, wrapped: Path
) -> tuple[list[ReceivedInstance], list[str]]:
    if folder is None:
        return _draw_phantoms(wrapped, utc_now()), []
    instances: list[ReceivedInstance] = []
    not_sent: list[str] = []
    for path in find_files([folder]):
        try:
            dicom = wrap_picture(path, wrapped, utc_now()) if is_picture(path) else path
            instances.append(describe_file(dicom, _MODALITY))
        except UnreadableInstance as error:
            not_sent.append(f"{path}: {error}")
    if not instances:
        raise DemoFailed(f"{folder} holds no DICOM, PNG or JPEG file that can be read")
    return instances, not_sent


def _draw_phantoms(folder: Path, now: datetime) -> list[ReceivedInstance]:
    folder.mkdir(parents=True)
    instances = []
    for number, (name, views) in enumerate(_PHANTOMS, start=1):
        for view, fractured in enumerate(views, start=1):
            uid = derived_uid("phantom instance", name, str(view))
            dataset = wrap_as_dx(
                draw_phantom(10 * number + view, fractured=fractured),
                study_instance_uid=derived_uid("phantom study", name),
                series_instance_uid=derived_uid("phantom series", name),
                sop_instance_uid=uid,
                patient_id=f"SYNTHETIC-{number}",
                patient_name=f"Synthetic^Phantom {name.title()}",
                now=now,
                body_part_examined="HAND",
                synthetic_note="Synthetic phantom drawn by fracture-screen: not a radiograph",
            )
            write_result(dataset, folder / f"{uid}.dcm")
            instances.append(describe_file(folder / f"{uid}.dcm", _MODALITY))
    return instances


@contextmanager
def _stand_in_pacs(folder: Path, log: TextIO) -> Iterator[StorageScp]:
    """Keeps what it receives as received/<study>/<modality>-<uid>.dcm, with a PNG or PDF beside."""
    configure_logging("demo", log)
    received = folder / "received"

    def keep(instance: ReceivedInstance) -> Receipt:
        study = received / instance.study_instance_uid
        study.mkdir(parents=True, exist_ok=True)
        target = study / f"{instance.sop_instance_uid}.dcm"
        if target.exists():
            return Receipt.DUPLICATE
        shutil.move(instance.path, target)
        _extract(target)
        return Receipt.ACCEPTED

    spool = Spool(folder / "spool")
    with StorageScp(ae_title=_PACS, host="127.0.0.1", port=0, spool=spool, sink=keep) as pacs:
        yield pacs


def _extract(path: Path) -> None:
    """A result's picture or PDF as an ordinary file, for a look without a DICOM viewer."""
    dataset = pydicom.dcmread(path)
    if "EncapsulatedDocument" in dataset:
        path.with_suffix(".pdf").write_bytes(dataset.EncapsulatedDocument)
    elif "PixelData" in dataset:
        cv2.imwrite(str(path.with_suffix(".png")), dataset.pixel_array[..., ::-1])


def _settings(out: Path, pacs_port: int) -> Settings:
    """The demo's settings, as the file that all its processes read."""
    file = out / _SETTINGS
    file.write_text(
        f"""\
data_folder = "{(out / "data").resolve()}"

[listener]
ae_title = "{_NODE}"
host = "127.0.0.1"
port = {_free_port()}

[study]
quiet_period_s = 1.0

[worklist]
port = {_free_port()}

[monitor]
port = {_free_port()}

[delivery]
first_backoff_s = 2.0

[[destinations]]
name = "stand-in PACS"
ae_title = "{_PACS}"
host = "127.0.0.1"
port = {pacs_port}
"""
    )
    return load_settings(file)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def _product(settings: Settings, out: Path, log: TextIO) -> Iterator[None]:
    """All processes of `fracture-screen up`, the listener answering."""
    command = [sys.executable, "-m", "worker.cli", "--config", str(out / _SETTINGS), "up"]
    product = subprocess.Popen(
        [*command, "--supervisor", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        _wait_for_listener(_node(settings), out / _LOG)
        yield
    finally:
        product.terminate()
        product.wait()


def _node(settings: Settings) -> RemoteAE:
    return RemoteAE(settings.listener.ae_title, "127.0.0.1", settings.listener.port)


def _wait_for_listener(node: RemoteAE, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            echo(node, calling_ae_title=_MODALITY)
            return
        except AssociationFailed as error:
            if time.monotonic() > deadline:
                raise DemoFailed(f"the listener did not start; see {log}") from error
            time.sleep(_POLL_S)


def _send(
    settings: Settings, instances: Sequence[ReceivedInstance], on_progress: Progress
) -> list[str]:
    """Send study by study, as a modality would; return what was refused."""
    by_study: dict[str, list[Path]] = {}
    for one in instances:
        by_study.setdefault(one.study_instance_uid, []).append(one.path)
    refused, done = [], 0
    for paths in by_study.values():
        results = send_instances(_node(settings), paths, calling_ae_title=_MODALITY)
        refused += [f"{one.path}: {one.error}" for one in results if not one.stored]
        done += len(paths)
        on_progress("radiographs sent", done, len(instances))
    return refused


def _wait(ledger: Ledger, uids: Sequence[str], on_progress: Progress) -> list[StudySummary]:
    """Until every study is finished; studies of which nothing was accepted do not appear."""
    moved, finished_before = time.monotonic(), -1
    while True:
        summaries = [one for uid in uids if (one := ledger.study_summary(uid)) is not None]
        finished = sum(one.is_finished for one in summaries)
        if finished != finished_before:
            moved, finished_before = time.monotonic(), finished
            on_progress("studies finished", finished, len(summaries))
        if finished == len(summaries):
            return summaries
        if time.monotonic() - moved > _PATIENCE_S:
            return summaries
        time.sleep(_POLL_S)


def _study(summary: StudySummary, received: Path) -> DemoStudy:
    expected = () if summary.analysis is None else summary.analysis.results
    folder = received / summary.study_instance_uid
    arrived = [folder / f"{result.sop_instance_uid}.dcm" for result in expected]
    missing = [path.name for path in arrived if not path.is_file()]
    reason = summary.reason or summary.failure_reason
    if missing or not expected:
        reason = f"{reason}; results missing in the PACS: {len(missing) or 'all'}".lstrip("; ")
    return DemoStudy(
        summary.study_instance_uid,
        summary.outcome or "",
        summary.probability,
        reason,
        [] if missing else [str(path.resolve()) for path in arrived],
    )


def as_json(result: DemoResult) -> dict[str, Any]:  # Any: JSON
    """The documented shape of `demo --json`."""
    return {
        "seconds": result.seconds,
        "model": result.model,
        "studies": [
            {
                "study_instance_uid": study.study_instance_uid,
                "outcome": study.outcome,
                "probability": study.probability,
                "reason": study.reason,
                "results": study.results,
            }
            for study in result.studies
        ],
        "not_sent": result.not_sent,
    }
