"""docs/first-hour.md from top to bottom, with Orthanc as the PACS: what it says is typed."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
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
    write_phantom(folder, "first").path.rename(folder / "radiograph.dcm")
    program = folder / "bin" / "fracture-screen"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec env PYTHONPATH={REPOSITORY} {sys.executable} -m worker.cli "$@"\n'
    )
    program.chmod(0o755)
    return folder


def script_of(orthanc: Orthanc) -> str:
    """All blocks that are run, and the settings file in its place, with the test's ports."""
    lines = ["set -eu"]
    for block in blocks_of(PAGE):
        if block.info == "toml":
            lines.append(f"printf '%s' {shlex.quote(block.content)} > settings.toml")
        elif block.is_shell and not block.is_marked_as_not_run:
            lines.append(block.content)
    text = "\n".join(lines)
    for told, here in {
        "10.0.0.5": "127.0.0.1",
        "4242": str(orthanc.remote.port),
        "11112": str(free_port()),
    }.items():
        assert told in text
        text = text.replace(told, here)
    return text


@pytest.fixture
def typed(machine: Path, orthanc: Orthanc) -> Iterator[subprocess.CompletedProcess[str]]:
    """What was printed; the product runs on until the test's end."""
    environment = {
        **clean_environment(),
        "PATH": f"{machine / 'bin'}:{os.environ['PATH']}",
        "COLUMNS": "200",
        "FRACTURE_SCREEN_WORKLIST__PORT": str(free_port()),
        "FRACTURE_SCREEN_MONITOR__PORT": str(free_port()),
    }
    output = machine / "typed.txt"
    with output.open("w") as file:
        shell = subprocess.Popen(
            ["bash", "-c", script_of(orthanc)],
            cwd=machine,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        code = shell.wait(540)
        yield subprocess.CompletedProcess([], code, output.read_text())
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        wait_for(lambda: not running(shell.pid), "the product ends")


def running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_page_leads_to_a_result_in_the_pacs(
    typed: subprocess.CompletedProcess[str], orthanc: Orthanc, machine: Path
) -> None:
    log = (machine / "log.jsonl").read_text()
    assert typed.returncode == 0, typed.stdout + log[-3000:]
    orthanc.wait_for_instances(1, timeout_s=60)
    kinds = {
        orthanc.get(f"/instances/{each}/simplified-tags")["SeriesDescription"]
        for each in orthanc.get("/instances")
    }
    assert any("report" in kind for kind in kinds)
    assert '"ae_title": "ORTHANC"' in typed.stdout
    assert re.search(r'"(POSITIVE|DOUBTFUL|NEGATIVE|NOT_ANALYSED)": 1', typed.stdout)
