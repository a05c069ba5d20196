"""`fracture-screen demo`: what a newcomer sees first."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import pydicom
import pytest

from tests.paths import REPOSITORY
from tests.servers.ports import free_port
from tests.servers.product import clean_environment, command, run_command, wait_for
from worker.phantom import draw_phantom

SHOWN = {
    "Forearm": ("FOREARM", "fracture", "POSITIVE", 1),
    "Shoulder": ("SHOULDER", "fracture", "POSITIVE", 1),
    "Forearm and hand": ("FOREARM", "fracture", "DOUBTFUL", 1),
    "Foot and ankle": ("FOOT", "nothing", "NEGATIVE", 0),
    "Knee": ("KNEE", "nothing", "NEGATIVE", 0),
    "Chest": ("CHEST", "–", "NOT_ANALYSED", 0),
}
"""Name → body part, what is marked, outcome by bundles 0.2.0 to 0.3.1, heatmaps."""
NICE = ("nice", "-n", "19")
BUSY_LOOPS = 6

pytestmark = pytest.mark.timeout(900)


def require_all_shown(answer: dict[str, Any]) -> None:
    """Every study has the outcome and the results that are due."""
    assert answer["complete"]
    assert {
        study["name"]: (
            study["body_part_examined"],
            study["marked"],
            study["outcome"],
            len(study["heatmaps"]),
        )
        for study in answer["studies"]
    } == SHOWN
    for study in answer["studies"]:
        assert Path(study["report"]).read_bytes().startswith(b"%PDF")
        assert all(cv2.imread(path) is not None for path in study["heatmaps"])
        results = [pydicom.dcmread(path) for path in study["results"]]
        assert sum(result.Modality == "DOC" for result in results) == 1
        assert len(results) == 1 + len(study["heatmaps"])
        assert {result.StudyInstanceUID for result in results} == {study["study_instance_uid"]}
        assert {str(result.PatientName) for result in results} == {f"Demo^{study['name']}"}
        analysed = study["outcome"] != "NOT_ANALYSED"
        assert (study["probability"] is not None) is analysed
        assert bool(study["reason"]) is not analysed


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep the cores busy with `count` processes of the lowest priority."""
    loop = [*NICE, sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(count)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


def test_the_demo_shows_every_outcome_and_is_slow_but_right_on_a_busy_machine(
    tmp_path: Path,
) -> None:
    with busy_loops(BUSY_LOOPS):
        done = subprocess.run(
            [*NICE, *command("demo", "--out", str(tmp_path / "demo"), "--json")],
            capture_output=True,
            text=True,
            timeout=800,
            env=clean_environment(),
        )

    assert done.returncode == 0, done.stderr
    require_all_shown(json.loads(done.stdout))
    stages = [line.split(" ")[0].rstrip(";") for line in done.stderr.splitlines()]
    assert list(dict.fromkeys(stages)) == [
        "preparing",
        "starting",
        "sending",
        "screening",
        "stopping",
    ]
    assert "sending results 6/6" in done.stderr


def test_a_process_that_cannot_run_is_named_with_its_last_words(tmp_path: Path) -> None:
    missing = tmp_path / "no bundle"
    done = subprocess.run(
        command("demo", "--out", str(tmp_path / "demo")),
        capture_output=True,
        text=True,
        timeout=240,
        env={**clean_environment(), "FRACTURE_SCREEN_MODEL__BUNDLE": str(missing)},
    )

    assert done.returncode == 1
    assert "error: the screening worker ended (exit code 2). Its last words:" in done.stderr
    assert f"cannot read {missing}" in done.stderr
    assert str(tmp_path / "demo" / "log.jsonl") in done.stderr
    assert '"event"' not in done.stderr
    assert done.stdout == ""


LOSING_A_PORT = """
import sys
from pathlib import Path
from worker.demonstration import demo, product

source, out, *ports = sys.argv[1:]
choices = iter([list(map(int, ports[:3])), list(map(int, ports[3:]))])
product._free_ports = lambda count: next(choices)
with demo.demonstrated(Path(source), Path(out), lambda look: None) as shown:
    assert shown.result.complete
    assert shown.product.settings.listener.port == int(ports[3])
"""


def test_a_port_that_another_program_takes_first_costs_time_only(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), draw_phantom(5, fractured=True, rows=400, columns=300))
    ports = [free_port() for _ in range(6)]
    places = [str(folder), str(tmp_path / "demo"), *map(str, ports)]
    with socket.create_server(("127.0.0.1", ports[0])):
        done = subprocess.run(
            [sys.executable, "-c", LOSING_A_PORT, *places],
            capture_output=True,
            text=True,
            timeout=600,
            env=clean_environment(),
            cwd=REPOSITORY,
        )
    assert done.returncode == 0, done.stderr


def test_a_demo_that_is_kept_lets_people_sign_in_until_it_is_interrupted(tmp_path: Path) -> None:
    with (tmp_path / "answer").open("w") as stdout, (tmp_path / "told").open("w") as stderr:
        process = subprocess.Popen(
            command("demo", "--out", str(tmp_path / "demo"), "--keep", "--json"),
            stdout=stdout,
            stderr=stderr,
            env=clean_environment(),
            start_new_session=True,
        )
    try:

        def answered() -> bool:
            assert process.poll() is None, (tmp_path / "told").read_text()
            return (tmp_path / "answer").read_text().endswith("}\n")

        wait_for(answered, "the demo answers", patience_s=600)
        answer = json.loads((tmp_path / "answer").read_text())
        require_all_shown(answer)
        worklist = answer["worklist"]
        form = {"name": worklist["name"], "password": worklist["password"], "next": "/"}
        with httpx.Client(base_url=worklist["address"], follow_redirects=True) as browser:
            assert "Demo" not in browser.get("/").text
            page = browser.post("/sign-in", data=form, headers={"Origin": worklist["address"]})
            assert page.status_code == 200
            assert all(name in page.text for name in SHOWN)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(120)
    assert process.returncode == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(worklist["address"])


def test_a_demo_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("demo", "--out", str(tmp_path / "demo")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    log = tmp_path / "demo" / "log.jsonl"
    wait_for(lambda: log.exists() and "listener_started" in log.read_text(), "it runs")
    process.kill()
    process.wait()
    wait_for(lambda: not processes_of(tmp_path / "demo"), "all processes have ended")


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that work in `folder`."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if str(folder) in line:
            lines.append(line)
    return lines


def test_the_demo_takes_pictures_and_says_what_it_could_not_send(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), draw_phantom(5, fractured=True, rows=400, columns=300))
    (folder / "b.dcm").write_bytes(b"no DICOM")

    done = run_command("demo", str(folder), "--out", str(tmp_path / "demo"), "--json")

    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [study["name"] for study in answer["studies"]] == ["a"]
    assert "b.dcm" in answer["not_sent"][0]


def test_the_demo_never_writes_into_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    done = run_command("demo", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (tmp_path / "precious").read_text() == "mine"
