"""The units: taken by systemd, hardened, and given time to end."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.deployment import SYSTEMD

PROGRAM = "/opt/fracture-screen/bin/fracture-screen"
WORST_EXPOSURE = 20
"""Of 100, as systemd-analyze counts it: 1.5 and 1.4 of 10 when this was written."""
UNITS = sorted(path.name for path in SYSTEMD.glob("*.service"))

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)"
)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """As installed, with a program that is there."""
    folder = tmp_path / "units"
    shutil.copytree(SYSTEMD, folder)
    for unit in folder.glob("*.service"):
        unit.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    return folder


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        cwd=units,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
    )


@needs_systemd
def test_systemd_takes_every_unit_without_a_word(units: Path) -> None:
    names = [f"./{path.name}" for path in units.iterdir() if path.is_file()]
    done = analyze(units, "verify", *names)
    about_ours = [line for line in done.stderr.splitlines() if "fracture-screen" in line]
    assert about_ours == []
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_a_unit_that_is_wrong_would_be_told(units: Path) -> None:
    unit = units / "fracture-screen-monitor.service"
    unit.write_text(unit.read_text().replace("MemoryMax=512M", "MemoryMaximum=512M"))
    assert "MemoryMaximum" in analyze(units, "verify", f"./{unit.name}").stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_a_service_is_exposed_to_little(units: Path, unit: str) -> None:
    name = unit.replace("@.", "@1.")
    security = ("security", "--offline=true", f"--threshold={WORST_EXPOSURE}", "--no-pager")
    done = analyze(units, *security, name)
    assert done.returncode == 0, done.stdout[-400:]
    shutil.rmtree(units / "fracture-screen-.service.d")
    assert analyze(units, *security, name).returncode == 1


@pytest.mark.parametrize("unit", sorted(set(UNITS) - {"fracture-screen-upgrade.service"}))
def test_a_service_is_started_again_for_ever_and_ends_in_its_time(unit: str) -> None:
    text = (SYSTEMD / unit).read_text()
    assert "Restart=always" in text
    assert "StartLimitIntervalSec=0" in text
    assert re.search(r"^MemoryMax=\d", text, re.M)
    assert re.search(r"^TimeoutStopSec=\d+$", text, re.M)
    assert "Requires=fracture-screen-upgrade.service\nAfter=fracture-screen-upgrade.service" in text


def test_the_target_wants_every_service() -> None:
    target = (SYSTEMD / "fracture-screen.target").read_text()
    wanted = set(re.findall(r"fracture-screen-[\w@]+\.service", target))
    others = {unit.replace("@.", "@1.") for unit in UNITS} - {"fracture-screen-upgrade.service"}
    assert wanted == others
