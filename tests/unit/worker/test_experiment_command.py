"""`fracture-screen experiment` as its users run it, with a network and data that take seconds."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.unit.training.drawn import draw_table
from tests.unit.training.small_papers import backbone_weights, small_papers
from training.experiments import heads, paper_a, paper_b, theirs
from training.history import Epoch
from training.recipe import Recipe
from worker.cli import app

SAMPLES = 20


class Killed(BaseException):
    """Stands in for a signal: nothing in the code under test may catch it."""


class _Heads:
    """Stands in for `train_head`: random weights, by the recipe and the labels alone."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.trained = 0
        self._killed_at = killed_at

    def __call__(
        self, recipe: Recipe, copies: heads.Copies, validation: heads.Held, advance: object
    ) -> heads.Head:
        self.trained += 1
        if self.trained == self._killed_at:
            raise Killed
        units = recipe.architecture.hidden_units
        random = np.random.default_rng((units, int(copies.rows.sum()), recipe.oversampling))
        weights = {
            "hidden/kernel": random.normal(size=(copies.channels, units)),
            "hidden/bias": random.normal(size=units),
            "logit/kernel": random.normal(size=(units, 2)),
            "logit/bias": random.normal(size=2),
        }
        epoch = Epoch(1, 0.7, 0.5, 0.7, 0.5, 0.5, recipe.learning_rate, 0.0)
        return heads.Head({k: v.astype(np.float32) for k, v in weights.items()}, (epoch,))


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    import tensorflow as tf

    # Tracing a head's step takes longer than its few steps.
    tf.config.run_functions_eagerly(True)
    with small_papers(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper_a, "PaperA", partial(paper_a.PaperA, samples=SAMPLES))
        patch.setattr(paper_b, "PaperB", partial(paper_b.PaperB, samples=SAMPLES))
        yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_table(tmp_path_factory.mktemp("data") / "radiographs", count=240)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, small: None) -> Path:
    return backbone_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def done_b(
    data: Path, weights: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Paper B's experiment, from begin to end."""
    out = tmp_path_factory.mktemp("b") / "out"
    ended = _paper_b(data, weights, cache, out, "--region", "")
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return out


@pytest.fixture(scope="module")
def done_a(
    data: Path, weights: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Paper A's experiment, from begin to end; at first one of its runs only."""
    out = tmp_path_factory.mktemp("a") / "out"
    first = _paper_a(data, weights, cache, out, "--only", "mobilenetv2")
    assert first.exit_code == 0, (first.output, first.exception)
    assert "not run yet" in (out / "README.md").read_text()
    ended = _paper_a(data, weights, cache, out)
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return out


def test_paper_b_fills_its_table_beside_theirs(done_b: Path) -> None:
    metrics = json.loads((done_b / "all" / "metrics.json").read_text())
    names = {"raw", "balanced", "tuned", "shuffled labels", "random folds"}
    assert metrics["folds"].keys() == names
    assert {model["radiographs"] for model in metrics["folds"].values()} == {240}
    assert sum(metrics["parts"].values()) == 240
    assert len(metrics["trials"]) == 3
    seen = metrics["share of test whose group is in training"]
    assert seen["grouped folds"] == 0.0
    assert seen["random folds"] > 0.3
    for plot in ("roc", "loss", "confusion", "reliability", "gradcam"):
        assert _shows_something(done_b / "all" / f"{plot}.png"), plot
    tables = (done_b / "all" / "tables.md").read_text()
    ours = metrics["folds"]["tuned"]["one half"]["accuracy"]["value"]
    assert f"{100 * ours:.1f} % (" in tables
    for figure, printed in theirs.PAPER_B_TABLE_8.items():
        (line, *_) = [row for row in tables.splitlines() if row.startswith(f"| {figure} |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1::2] == list(printed), figure


def test_paper_b_again_trains_and_computes_nothing_and_says_the_same(
    done_b: Path, data: Path, weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    before = (done_b / "README.md").read_text()
    monkeypatch.setattr(paper_b, "train_head", refuse)
    monkeypatch.setattr(paper_b, "build_pretrained", refuse)
    again = _paper_b(data, weights, cache, done_b, "--region", "")
    assert again.exit_code == 0, (again.output, again.exception)
    assert (done_b / "README.md").read_text() == before


def test_paper_b_killed_in_the_middle_goes_on_with_what_is_missing(
    data: Path, weights: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The region and all: 21 heads each; killed at the 31st. Heads are random, to be quick."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    monkeypatch.setattr(paper_b, "train_head", _Heads(killed_at=31))
    with pytest.raises(Killed):
        _paper_b(data, weights, cache, killed)
    assert (killed / "hand" / "metrics.json").is_file()
    assert not (killed / "all" / "metrics.json").is_file()
    rest = _Heads()
    monkeypatch.setattr(paper_b, "train_head", rest)
    assert _paper_b(data, weights, cache, killed).exit_code == 0
    assert rest.trained == 2 * 21 - 30
    assert _paper_b(data, weights, cache, whole).exit_code == 0
    for cohort, radiographs in (("hand", 120), ("all", 240)):
        text = (killed / cohort / "metrics.json").read_text()
        assert text == (whole / cohort / "metrics.json").read_text()
        assert json.loads(text)["folds"]["raw"]["radiographs"] == radiographs
    readme = (whole / "README.md").read_text()
    assert "## Region hand" in readme
    assert "## All regions" in readme


def test_an_experiments_folder_is_not_gone_on_with_by_other_settings(
    done_b: Path, data: Path, weights: Path, cache: Path
) -> None:
    ended = _paper_b(data, weights, cache, done_b, "--region", "", "--seed", 8)
    assert "an experiment with another seed, splits" in str(ended.exception)


def test_a_region_that_no_radiograph_shows_is_refused_by_name(
    data: Path, weights: Path, cache: Path, tmp_path: Path
) -> None:
    ended = _paper_b(data, weights, cache, tmp_path / "out", "--region", "skull")
    assert "no radiograph is of the region 'skull'; the data's regions: hand, leg" in str(
        ended.exception
    )


def test_paper_a_fills_its_tables_and_shows_what_a_leak_does(done_a: Path) -> None:
    readme = (done_a / "README.md").read_text()
    assert "not run yet" not in readme
    for figure, (mobilenet, resnet) in theirs.PAPER_A_TABLES_4_AND_6.items():
        (line,) = [row for row in readme.splitlines() if row.startswith(f"| {figure} |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert (cells[1], cells[3]) == (mobilenet, resnet), figure
        assert re.search(r"\d", cells[2]), figure
        assert re.search(r"\d", cells[4]), figure
    assert "turned and mirrored copies of its training radiographs" in readme
    runs = ("mobilenetv2", "mobilenetv2-random-split", "mobilenetv2-frozen-bn", "resnet50v2")
    metrics = {run: json.loads((done_a / run / "metrics.json").read_text()) for run in runs}
    leaks = {run: one["share of test whose group is in training"] for run, one in metrics.items()}
    assert leaks["mobilenetv2"] == leaks["resnet50v2"] == 0.0
    assert leaks["mobilenetv2-random-split"] > 0.3
    parts = metrics["mobilenetv2"]["parts"]
    assert sum(part["radiographs"] for part in parts.values()) == 240
    assert parts["train"]["radiographs"] > 2 * parts["test"]["radiographs"]
    for plot in ("curves.png", "confusion.png", "roc.png", "reliability.png"):
        assert _shows_something(done_a / plot), plot
    for run in runs:
        assert _shows_something(done_a / run / "gradcam.png"), run


def test_paper_a_again_learns_nothing_and_says_the_same(
    done_a: Path, data: Path, weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("learned again")

    before = (done_a / "README.md").read_text()
    monkeypatch.setattr(paper_a, "learn", refuse)
    again = _paper_a(data, weights, cache, done_a)
    assert again.exit_code == 0, (again.output, again.exception)
    assert (done_a / "README.md").read_text() == before


def test_paper_a_stopped_while_scoring_goes_on_with_its_run(
    data: Path, weights: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise Killed

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(paper_a, "_copies", stop)
        with pytest.raises(Killed):
            _paper_a(data, weights, cache, out, "--only", "mobilenetv2")
    trained = (out / "mobilenetv2" / "run" / "epochs.jsonl").read_text()
    ended = _paper_a(data, weights, cache, out, "--only", "mobilenetv2")
    assert ended.exit_code == 0, (ended.output, ended.exception)
    assert (out / "mobilenetv2" / "run" / "epochs.jsonl").read_text() == trained


@pytest.mark.parametrize("word", ["resnet50", "vgg=weights.h5", "mobilenet_v2="])
def test_weights_of_no_network_of_the_paper_are_refused(data: Path, word: str) -> None:
    ended = _experiment("paper-a", "--data", data, "--out", "out", "--weights", word)
    assert ended.exit_code == 2
    assert "mobilenet_v2=FILE" in ended.output


@pytest.mark.parametrize("paper", ["paper-a", "paper-b"])
def test_the_training_extra_is_named_where_it_is_missing(
    paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.commands.model_options.find_spec", lambda name: None)
    ended = _experiment(paper, "--data", tmp_path, "--out", tmp_path / "out")
    assert "matplotlib is missing; install the training extra" in str(ended.exception)


def test_a_run_that_paper_a_does_not_have_is_refused(
    small: None, data: Path, tmp_path: Path
) -> None:
    ended = _experiment("paper-a", "--data", data, "--out", tmp_path / "out", "--only", "vgg")
    assert "there is no run 'vgg'; runs are mobilenetv2, " in str(ended.exception)
    assert not (tmp_path / "out").exists()


def _paper_a(data: Path, weights: Path, cache: Path, out: Path, *more: object) -> Result:
    named = ("--weights", f"mobilenet_v2={weights}", "--weights", f"resnet50_v2={weights}")
    folders = ("--data", data, "--cache", cache, "--out", out)
    return _experiment("paper-a", *folders, *named, *more)


def _paper_b(data: Path, weights: Path, cache: Path, out: Path, *more: object) -> Result:
    folders = ("--data", data, "--cache", cache, "--out", out, "--weights", weights)
    numbers = ("--copies", 1, "--trials", 3, "--folds", 3)
    return _experiment("paper-b", *folders, *numbers, *more)


def _experiment(*words: object) -> Result:
    """In this process: a start takes longer than the commands."""
    return CliRunner().invoke(app, ["experiment", *(str(word) for word in words)])


def _shows_something(path: Path) -> bool:
    picture = cv2.imread(str(path))
    return picture is not None and float(picture.std()) > 5.0
