"""`fracture-screen explanations` as its users run it, with the shipped model."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.unit.training.labelled_folders import draw_boxes, draw_fracatlas
from training.explanation.scoring_sheet import CRITERIA
from worker.cli import app


def explanations(*words: object) -> Result:
    """In this process: a start takes longer than the commands."""
    return CliRunner().invoke(app, ["explanations", *(str(word) for word in words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight radiographs; the four fractured ones have a box."""
    return draw_boxes(draw_fracatlas(tmp_path / "data", count=8))


def test_maps_are_measured_against_boxes_and_against_what_knows_nothing(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    ended = explanations("measure", "--data", folder, "--out", out, "--json")
    assert ended.exit_code == 0, ended.output
    content = json.loads(ended.stdout)
    assert content == json.loads((out / "metrics.json").read_text())
    assert (content["radiographs"], content["curves_of"]) == (4, 4)
    figures = content["figures"]
    assert {"peak in box, all", "centre in box, all", "insertion, map of noise"} <= figures.keys()
    assert all(0 <= one["low"] <= one["high"] <= 1 for one in figures.values())
    assert content["rank_correlation_after_shuffling"].keys() == {"head", "half", "all"}
    with (out / "radiographs.csv").open() as table:
        assert [row["picture"] for row in csv.DictReader(table)] == [
            f"images/IMG{number:07d}.png" for number in (1, 3, 5, 7)
        ]
    assert cv2.imread(str(out / "curves.png")) is not None


def test_without_boxes_there_is_nothing_to_measure(folder: Path, tmp_path: Path) -> None:
    (folder / "fracture_boxes.csv").unlink()
    ended = explanations("measure", "--data", folder, "--out", tmp_path / "maps")
    assert "no radiograph has a fracture box" in str(ended.exception)
    assert not (tmp_path / "maps").exists()


def test_a_sheet_has_a_picture_per_case_and_comes_back_as_scores(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sheet"
    made = explanations("sheet", "--data", folder, "--out", out, "--cases", 4)
    assert made.exit_code == 0, made.output
    with (out / "sheet.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["label"] for row in rows) == ["fractured"] * 2 + ["not fractured"] * 2
    for row in rows:
        picture = cv2.imread(str(out / row["picture"]))
        assert picture.shape[1] % 2 == 0
        plain, overlay = np.hsplit(picture, 2)
        assert np.array_equal(plain[..., 0], plain[..., 2])  # grey
        assert overlay.shape == plain.shape
        row.update({"reader": "AB"} | dict.fromkeys(CRITERIA, "2"))
    with (out / "filled.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    scored = explanations("score", out / "filled.csv", "--json")
    assert scored.exit_code == 0, scored.output
    everything = json.loads(scored.stdout)["groups"][0]
    assert (everything["scores"], everything["mean"], everything["acceptable"]) == (4, 2.0, 1.0)
