"""`fracture-screen data` as its users run it."""

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.servers.product import run_command
from tests.unit.training.drawn import draw, draw_table, write_picture
from training import controls
from training.errors import DataError
from worker.cli import app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_table(tmp_path / "data")


def data(*words: object) -> Result:
    """In this process: a start takes longer than the commands."""
    return CliRunner().invoke(app, ["data", *(str(word) for word in words)])


def test_data_are_split_and_the_split_is_checked_and_found_sound(
    folder: Path, tmp_path: Path
) -> None:
    split = tmp_path / "split.json"
    made = data("split", "--data", folder, "--shares", "72/18/10", "--out", split, "--json")
    assert made.exit_code == 0, made.output
    answer = json.loads(made.stdout)
    assert [part["part"] for part in answer["parts"]] == ["train", "validation", "test"]
    assert sum(part["radiographs"] for part in answer["parts"]) == 40
    assert answer["digest"] == json.loads(split.read_text())["digest"]
    checked = data("check", "--data", folder, "--split", split, "--json")
    assert checked.exit_code == 0, checked.output
    result = json.loads(checked.stdout)
    assert (result["is_sound"], result["parts"], result["leaks"]) == (True, "the split file", [])


def test_look_alikes_are_kept_together_unless_only_stated_groups_are_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    for number in (2, 4, 10, 16, 20, 26, 30):
        write_picture(folder / "images" / f"{number:03d}.png", draw(0)[::-1])
    leaks = {}
    for option in ("--find-duplicates", "--stated-groups"):
        split = tmp_path / f"split{option}.json"
        assert data("split", "--data", folder, "--folds", 4, option, "--out", split).exit_code == 0
        checked = data("check", "--data", folder, "--split", split, "--json")
        leaks[option] = json.loads(checked.stdout)["leaks"]
        assert checked.exit_code == bool(leaks[option])
    assert leaks["--find-duplicates"] == []
    assert leaks["--stated-groups"]


def test_a_broken_file_is_named_and_ends_the_check_with_one(folder: Path) -> None:
    (folder / "images" / "007.png").write_bytes(b"broken")
    done = run_command("data", "check", "--data", str(folder))
    assert done.returncode == 1
    assert "broken: cannot read" in done.stdout
    assert "007.png" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_broken_file_is_no_ground_for_a_split(folder: Path, tmp_path: Path) -> None:
    (folder / "images" / "007.png").write_bytes(b"broken")
    split = tmp_path / "split.json"
    done = run_command("data", "split", "--data", str(folder), "--folds", "2", "--out", str(split))
    assert done.returncode == 2
    assert "007.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert not split.exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "--shares or --folds"),
        (("--folds", "3", "--shares", "80/20"), "--shares or --folds"),
        (("--shares", "most"), "not like 72/18/10"),
        (("--shares", "100"), "two or three shares"),
        (("--shares", "80/0"), "above 0"),
    ],
)
def test_a_split_that_is_not_well_asked_for_is_refused(
    folder: Path, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    split = tmp_path / "split.json"
    done = data("split", "--data", folder, *options, "--out", split)
    told = str(done.exception) if isinstance(done.exception, DataError) else done.output
    assert done.exit_code != 0
    assert complaint in told
    assert not split.exists()


def test_confounds_tell_what_each_attribute_knows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(controls.metadata_aucs, samples=20)
    monkeypatch.setattr(controls, "metadata_aucs", few)
    done = data("confounds", "--data", folder, "--json")
    assert done.exit_code == 0, done.output
    everything, *others = json.loads(done.stdout)
    assert len(everything["attributes"]) == 8
    assert [one["attributes"] for one in others[1:3]] == [["region"], ["view"]]
    assert all(0 <= one["low"] <= one["auc"] <= one["high"] <= 1 for one in others)


def test_the_training_extra_is_named_where_it_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.commands.model_options.find_spec", lambda name: None)
    done = data("check", "--data", folder)
    assert "scipy is missing; install the training extra" in str(done.exception)
