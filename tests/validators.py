"""David Clunie's validators: what a DICOM object is judged by."""

import shutil
import subprocess
from pathlib import Path

import pytest

needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None or shutil.which("dcentvfy") is None,
    reason="needs dciodvfy and dcentvfy (apt install dicom3tools)",
)


def dciodvfy_errors(path: Path) -> list[str]:
    """What is wrong with one object, by its IOD; empty when valid."""
    return _error_lines("dciodvfy", path)


def dcentvfy_complaints(*paths: Path) -> list[str]:
    """In what the objects of a study contradict each other, warnings too."""
    return [line for line in _output("dcentvfy", *paths) if line.strip()]


def _error_lines(tool: str, *paths: Path) -> list[str]:
    return [line for line in _output(tool, *paths) if line.startswith("Error")]


def _output(tool: str, *paths: Path) -> list[str]:
    done = subprocess.run([tool, *map(str, paths)], capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode(errors="replace").splitlines()
