"""docs/first-hour.md from top to bottom, with Orthanc as the PACS: what it says is typed."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.paths import REPOSITORY
from tests.radiographs import write_phantom
from tests.servers.dcmtk import needs_dcmtk
from tests.servers.orthanc import Orthanc, needs_orthanc
from tests.servers.ports import free_port
from tests.servers.product import clean_environment, wait_for
from tests.unit.docs.pages import blocks_of

pytestmark = [needs_orthanc, needs_dcmtk, pytest.mark.timeout(600)]  # every command is a process

PAGE = REPOSITORY / "docs" / "first-hour.md"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a radiograph, and the program by its name."""
    folder = tmp_path / "machine"
    folder.mkdir()
    plain = write_phantom(folder, "first", body_part_examined="HAND").path
    # Modalities send compressed files, too.
    subprocess.run(["dcmcjpeg", plain, folder / "radiograph.dcm"], check=True)
    plain.unlink()
    program = folder / "bin" / "fracture-screen"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec env PYTHONPATH={REPOSITORY} {sys.executable} -m worker.cli "$@"\n'
    )
    program.chmod(0o755)
    return folder


def script_of(pacs_port: int, port: int, *, until: str = "wait") -> str:
    """All blocks up to that with `until`, with the settings file in its place, for these ports."""
    lines = ["set -eu"]
    for block in blocks_of(PAGE):
        if block.info == "toml":
            lines.append(f"printf '%s' {shlex.quote(block.content)} > settings.toml")
        elif block.is_shell and not block.is_marked_as_not_run:
            if "kill %1" in block.content:
                lines.append(_A_READERS_TIME)
            lines.append(block.content)
            if until in block.content:
                break
    text = "\n".join(lines)
    for told, here in {"10.0.0.5": "127.0.0.1", "4242": str(pacs_port), "11112": str(port)}.items():
        assert told in text
        text = text.replace(told, here)
    return text


_A_READERS_TIME = """
until fracture-screen --config settings.toml status --json | grep '"PENDING": 0'; do sleep 1; done
"""
"""What the study needs until its results are sent; a person has not read on before that."""


def typed(script: str, machine: Path) -> subprocess.CompletedProcess[str]:
    """What the script printed; all that it started has ended when this returns."""
    environment = {
        **clean_environment(),
        "HOME": str(machine),
        "PATH": f"{os.environ['PATH']}:{machine / 'bin'}",
        "COLUMNS": "200",
        "FRACTURE_SCREEN_WORKLIST__PORT": str(free_port()),
        "FRACTURE_SCREEN_MONITOR__PORT": str(free_port()),
    }
    output = machine / "typed.txt"
    with output.open("w") as file:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=machine,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        code = shell.wait(540)
        assert not running(shell.pid), "the page's own way to stop left something running"
        return subprocess.CompletedProcess([], code, output.read_text())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
        wait_for(lambda: not running(shell.pid), "the product ends")


def running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_page_leads_to_a_result_in_the_pacs_and_stops_what_it_started(
    orthanc: Orthanc, machine: Path
) -> None:
    done = typed(script_of(orthanc.remote.port, free_port()), machine)

    log = (machine / "log.jsonl").read_text()
    assert done.returncode == 0, done.stdout + log[-3000:]
    series = [
        orthanc.get(f"/instances/{each}/simplified-tags")["SeriesDescription"]
        for each in orthanc.get("/instances")
    ]
    assert any("report" in description for description in series)
    assert '"ae_title": "ORTHANC"' in done.stdout
    assert re.search(r"destination-store[^│]*│ ok ", done.stdout)
    assert re.search(r'"(SCREENED|FAILED)": 1', done.stdout)
    assert "nothing to complain of" in done.stdout
    assert all(isinstance(json.loads(line), dict) for line in log.splitlines())
    assert (machine / "fracture-screen-data" / "ledger.sqlite").exists()


def test_the_page_does_not_wait_for_a_program_that_could_not_start(machine: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # as the listener's
        port = taken.getsockname()[1]
        script = script_of(free_port(), port, until=" up ").replace("doctor --store", "--version")
        done = typed(script, machine)
    assert f"listener.port {port} on 0.0.0.0 is in use" in done.stdout.splitlines()[-1]
