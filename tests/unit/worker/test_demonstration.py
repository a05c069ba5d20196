"""The parts of the demonstration: what is sent, what its log says, its patience, its table."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pydicom
import pytest
from rich.console import Console

from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from tests.paths import REPOSITORY
from tests.radiographs import NOW, write_phantom
from tests.servers.ports import free_port
from worker.demonstration import watch
from worker.demonstration.demo import DemoResult, DemoStudy, _Sender
from worker.demonstration.product_log import EndedProcess, ProductLog
from worker.demonstration.studies import (
    PICTURES,
    RADIOGRAPHS,
    PreparedStudy,
    file_names,
    prepare_own_studies,
)
from worker.demonstration.table import as_json, failure_of, print_result
from worker.demonstration.watch import Look, Watch
from worker.errors import DemoFailed

DATA_SET = "Scientific Data 10, 521 (2023)"


def test_each_shipped_radiograph_stands_in_the_attribution_and_in_the_wheel(tmp_path: Path) -> None:
    shipped = {item.name for item in RADIOGRAPHS.iterdir()}
    assert shipped == {picture.file for picture in PICTURES if picture.file} | {"README.md"}
    attribution = (RADIOGRAPHS / "README.md").read_text()
    assert DATA_SET in attribution
    assert "CC BY 4.0" in attribution
    assert all(name in attribution for name in shipped - {"README.md"})

    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {f"worker/demonstration/radiographs/{name}" for name in shipped} <= packed


def test_every_study_says_that_it_is_no_acquisition_and_where_it_is_from(tmp_path: Path) -> None:
    studies = prepare_own_studies(tmp_path / "sent", NOW)

    assert [study.name for study in studies] == [picture.name for picture in PICTURES]
    assert len({study.study_instance_uid for study in studies}) == len(studies)
    for study, picture in zip(studies, PICTURES, strict=True):
        (path,) = study.paths
        dataset = pydicom.dcmread(path)
        assert str(dataset.PatientName) == f"Demo^{picture.name}"
        assert dataset.BodyPartExamined == picture.body_part_examined
        assert dataset.BitsStored == 8
        assert dataset.LossyImageCompression == "01"
        assert "synthetic DX" in dataset.ImageComments
        expected = f"{picture.file} of FracAtlas" if picture.file else "not a radiograph"
        assert expected in dataset.ImageComments


def test_files_of_studies_with_the_same_name_get_different_names() -> None:
    studies = [PreparedStudy(uid, "A b/c", "", ()) for uid in ("1.2", "1.3")]
    assert file_names(studies) == {"1.2": "a-b-c", "1.3": "a-b-c-2"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text('{"process": "listen", "event": "listener_started", "ports": [1]}\n')
    return path


def write(log: Path, *lines: object) -> None:
    with log.open("a") as file:
        for line in lines:
            file.write(f"{line if isinstance(line, str) else json.dumps(line)}\n")


def ended(name: str, exit_code: int) -> dict[str, object]:
    return {
        "process": "up",
        "event": "process_ended",
        "name": name,
        "exit_code": exit_code,
        "level": "error",
    }


def test_a_dead_process_is_told_with_what_it_wrote_last_and_without_noise(log: Path) -> None:
    product_log = ProductLog(log, "demo")
    write(
        log,
        "fracture-screen: FRACTURESCREEN listens on 127.0.0.1:1, data in /x",
        "I0000 00:00:1796080396.5 1 port.cc:153] custom operations are on",
        {"process": "demo", "event": "sending_again", "level": "warning", "why": "ours"},
        {"process": "listen", "event": "instance_registered", "level": "info"},
        {"process": "listen", "event": "disk_nearly_full", "level": "warning", "free_mib": 3},
        "Traceback (most recent call last):",
        '  File "worker/cli.py", line 1, in <module>',
        "    import tensorflow",
        "ModuleNotFoundError: No module named 'tensorflow'",
        ended("screening worker", 1),
        ended("listener", -9),
    )
    product_log.read()

    screening, listener = product_log.ended
    assert str(screening) == (
        "the screening worker ended (exit code 1). Its last words:\n"
        "  listen: disk nearly full (free_mib 3)\n"
        "  ModuleNotFoundError: No module named 'tensorflow'"
    )
    assert "SIGKILL" in str(listener)
    assert "memory" in str(listener)
    assert listener.last_words == ()


def test_what_a_process_printed_or_gave_as_its_reason_is_told_in_its_words(log: Path) -> None:
    product_log = ProductLog(log, "demo")
    write(
        log,
        {"process": "up", "event": "printed", "text": "worker: Warm shutdown", "level": "info"},
        {"process": "up", "event": "printed", "text": "Bus error", "level": "info"},
        {"process": "work", "event": "service_failed", "reason": "no disk", "level": "error"},
        {"process": "work", "event": "crashed", "exception": "a\nKeyError: 1", "level": "error"},
        ended("screening worker", 2),
    )
    product_log.read()
    assert product_log.ended[0].last_words == (
        "Bus error",
        "work: no disk",
        "work: crashed (KeyError: 1)",
    )


def test_only_whole_lines_written_since_then_are_read_and_milestones_count_once(log: Path) -> None:
    product_log = ProductLog(log, "demo")
    product_log.read()
    assert (product_log.listening_ports, product_log.milestones) == (set(), 0)

    started = {"process": "listen", "event": "listener_started", "ports": [2], "level": "info"}
    write(log, started, started)
    with log.open("a") as file:
        file.write('{"process": "listen", "event": "half')
    product_log.read()
    assert (product_log.listening_ports, product_log.milestones) == ({2}, 1)

    with log.open("a") as file:
        file.write('_a_line", "level": "info"}\n')
    product_log.read()
    assert product_log.milestones == 2


class ScriptedProduct:
    """Moves as the test says."""

    milestones = (1, 0)
    last_words = "The processes wrote no warning or error."

    def check(self) -> None:
        """All processes live."""


@pytest.fixture
def shown() -> list[Look]:
    return []


def watch_with(looks: Iterator[Look], shown: list[Look], seconds_per_pause: float) -> None:
    """Watch until a look is finished, on a clock that only pauses move."""
    now = [0.0]

    def pause(_: float) -> None:
        now[0] += seconds_per_pause

    waiting = Watch(ScriptedProduct(), shown.append, lambda: now[0], pause)  # type: ignore[arg-type]
    waiting.until_finished(lambda: next(looks))


def standing_still(looks: int) -> Iterator[Look]:
    yield from [Look("screening", 2, 6)] * looks
    yield Look("screening", 6, 6, finished=True)


def test_a_stall_ends_the_demo_and_says_what_it_waited_for(
    shown: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "load_per_core", lambda: 0.5)
    with pytest.raises(DemoFailed, match=r"11 minutes while screening \(2 of 6 done\)"):
        watch_with(standing_still(100), shown, 60)


def test_a_busy_machine_gets_more_time_and_is_told_to_be_busy(
    shown: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "load_per_core", lambda: 20.0)
    watch_with(standing_still(100), shown, 60)
    assert shown[0].waiting_for == "screening"
    assert "the machine is busy: load" in shown[5].waiting_for


def test_what_moves_is_waited_for_as_long_as_it_takes(
    shown: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "load_per_core", lambda: 0.5)

    def moving() -> Iterator[Look]:
        for number in range(100):
            yield Look("screening", 0, 6, moved=number // 5)
        yield Look("screening", 6, 6, finished=True)

    watch_with(moving(), shown, 100)
    assert shown[-1].finished


def test_what_could_not_be_sent_is_sent_again_and_what_is_refused_is_told(tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path, "good")
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM")
    studies = [
        PreparedStudy(phantom.study_instance_uid, "good", "", (phantom.path, broken)),
        PreparedStudy("1.2", "broken", "", (broken,)),
    ]
    node = RemoteAE("PACS", "127.0.0.1", free_port())
    sender = _Sender(studies, lambda: node)
    first = sender.look()
    assert (first.done, first.finished, sender.sent) == (0, False, [])
    assert len(sender.refused) == 1

    kept: list[ReceivedInstance] = []

    def keep(instance: ReceivedInstance) -> Receipt:
        kept.append(instance)
        return Receipt.ACCEPTED

    spool = Spool(tmp_path / "spool")
    with StorageScp(ae_title="PACS", host=node.host, port=node.port, spool=spool, sink=keep):
        assert sender.look().done == 1
        assert sender.look().finished
    assert [instance.sop_instance_uid for instance in kept] == [phantom.sop_instance_uid]
    assert sender.sent == studies[:1]
    assert len(sender.refused) == 2


def study(name: str, outcome: str, *, report: bool = True, heatmaps: int = 0) -> DemoStudy:
    return DemoStudy(
        "1.2.3",
        name,
        "fracture",
        "HAND",
        outcome,
        0.5,
        "not finished" if not outcome else "",
        report=Path("a-report.pdf") if report else None,
        heatmaps=(Path("a-heatmap.png"),) * heatmaps,
    )


@pytest.mark.parametrize(
    ("last", "complete"),
    [
        (study("Hand", "POSITIVE", heatmaps=1), True),
        (study("Hand", "POSITIVE"), False),
        (study("Hand", "DOUBTFUL"), False),
        (study("Hand", "NEGATIVE"), True),
        (study("Hand", "NOT_ANALYSED"), True),
        (study("Hand", "NEGATIVE", report=False), False),
        (study("Hand", "FAILED"), False),
        (study("Hand", ""), False),
    ],
)
def test_a_success_line_stands_only_where_every_study_has_what_is_due(
    last: DemoStudy, complete: bool
) -> None:
    result = DemoResult(12.3, "model 1", (study("Foot", "NEGATIVE"), last))
    console = Console(file=StringIO(), width=80)
    print_result(console, result, Path("out"))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert result.complete is complete
    assert as_json(result)["complete"] is complete
    assert ("2 studies in 12 s with model 1" in text) is complete
    if not complete:
        assert "Hand" in failure_of(result, Path("log.jsonl"))
        assert "Foot" not in failure_of(result, Path("log.jsonl"))


def test_the_table_shows_a_study_without_outcome_as_none_and_what_was_refused() -> None:
    result = DemoResult(1.5, "", (study("Hand", ""),), ("x.dcm: no DICOM",), ("y.dcm: full",))
    console = Console(file=StringIO(), width=80)
    print_result(console, result, Path("out"))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "none" in text
    assert "not finished" in text
    assert "not part of a study: x.dcm: no DICOM" in text
    assert "not part of a study: y.dcm: full" in text
    assert "refused: 1" in failure_of(result, Path("log.jsonl"))


def test_no_failure_is_called_a_refusal_but_exit_code_2() -> None:
    codes = (0, 1, 2, -9)
    assert [EndedProcess("monitor", code, ()).is_refusal for code in codes] == [
        False,
        False,
        True,
        False,
    ]
