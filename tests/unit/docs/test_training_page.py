"""docs/training.md: its commands run, its code runs, its tables are the code's."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.architectures import BACKBONES
from tests.paths import REPOSITORY
from tests.unit.training.drawn import draw_table
from training.data.labelled_table import COLUMNS
from training.data.layouts import LAYOUTS
from training.presets import PRESETS
from worker.cli import app

PAGE = (REPOSITORY / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.M | re.S)


def test_every_command_of_the_page_runs_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_table(tmp_path / "radiographs")
    monkeypatch.chdir(tmp_path)
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        program, *words = line.split()
        assert program == "fracture-screen"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (line, done.output, done.exception)


def test_the_code_of_the_page_runs() -> None:
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(code, {})  # noqa: S102  our own page


def test_the_page_lists_all_layouts_and_all_columns() -> None:
    rows = re.findall(r"^\| (\S+) \| (.+?) \|", PAGE, re.M)
    assert {(layout.name, layout.looks_for) for layout in LAYOUTS} <= set(rows)
    assert set(COLUMNS.items()) <= set(rows)


def test_the_page_lists_all_presets_with_their_networks_and_all_networks() -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| .* \|$", PAGE, re.M)
    presets = {name: recipe.architecture.name for name, recipe in PRESETS.items()}
    assert presets.items() <= set(rows)
    assert ", ".join(BACKBONES) in " ".join(PAGE.split())
