"""Cross-validation of a small network: who is held out of what, and a bundle that says so."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.architectures import BACKBONES, Architecture
from models.bundle import load_bundle
from models.classifier import Classifier
from models.engines.onnx_engine import OnnxRuntimeEngine
from tests.unit.training.labelled_folders import (
    INPUT_SIZE,
    TINY,
    draw_boxes,
    draw_fracatlas,
    make_recipe,
    tiny_backbone,
)
from training import cross_validation, scored
from training.card import ModelName
from training.cross_validation import CrossValidation, score_folds, write_bundle
from training.data.example import Example
from training.data.layouts import read_labelled_folder
from training.data.pixels import read_pixels
from training.errors import RecipeError
from training.progress import Progress
from training.recipe import Recipe, Schedule, Watched
from training.scored import ScoredExamples, judge_cross_fitted
from training.split_file import load_split
from training.splits import Stratum, folds_plan, make_split
from training.statistics.intervals import with_interval
from worker.model_card import model_card, performance

FOLDS = 3
NAME = ModelName("test-net", "0.0.1")


def recipe() -> Recipe:
    return replace(
        make_recipe(epochs=4),
        architecture=Architecture(TINY, INPUT_SIZE, hidden_units=16, map_channels=8),
        watched=Watched.NOTHING,
        schedule=Schedule.COSINE,
        map_weight=1.0,
        learning_rate=0.005,
    )


@pytest.fixture(autouse=True, scope="module")
def _small() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, TINY, tiny_backbone)
        patch.setattr(scored, "with_interval", partial(with_interval, samples=20))
        yield


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """All folds scored and the bundle written."""
    folder = draw_fracatlas(tmp_path_factory.mktemp("data") / "fracatlas", 36)
    draw_boxes(folder)
    run = make_validation(folder, tmp_path_factory.mktemp("out") / "run")
    assert score_folds(run) == []
    write_bundle(run, NAME)
    return run


def test_each_network_knows_all_radiographs_but_those_it_scores(validated: CrossValidation) -> None:
    held_out: list[int] = []
    for fold in range(FOLDS):
        split = load_split(validated.run_folder(fold) / "split.json", validated.data)
        assert set(split.parts) == {"train", "test"}
        assert list(split.rows("test")) == list(np.flatnonzero(validated.fold_of == fold))
        held_out += split.rows("test")
    assert sorted(held_out) == list(range(36))
    everything = load_split(validated.out / "all" / "split.json", validated.data)
    assert len(everything.rows("train")) == 36


def test_the_bundle_states_figures_of_held_out_radiographs(validated: CrossValidation) -> None:
    bundle = load_bundle(validated.out / "bundle")
    metrics = bundle.card["metrics"]["cross_validation"]
    assert metrics["radiographs"] == 36
    assert len(metrics["auc_by_fold"]) == FOLDS
    assert 0 <= bundle.card["explanation"]["peak in box, all"]["value"] <= 1
    assert bundle.card["training"]["split"]["folds"] == FOLDS
    assert "cross-validate" in bundle.card["training"]["command"]
    assert "scored by a network that had not seen it" in model_card(bundle)
    assert "36 radiographs by networks that had not seen them" in performance(
        bundle.card["metrics"]
    )
    told = json.loads((validated.out / "metrics.json").read_text())
    assert told["metrics"] == bundle.card["metrics"]
    assert [line["value"] for line in bundle.card["subgroups"]["region"]] == ["hand"]
    assert "| region: hand | 36 | 18 | " in model_card(bundle)
    for name in ("roc.png", "reliability.png"):
        assert cv2.imread(str(validated.out / name)) is not None


def test_the_table_has_a_line_per_radiograph(validated: CrossValidation) -> None:
    with (validated.out / "held-out.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["fold"]) for line in lines] == list(validated.fold_of)
    marked = [line["peak_in_box"] in ("0", "1") for line in lines]
    assert marked == [bool(example.boxes) for example in validated.data.examples]
    rejected = np.mean([line["rejected"] == "1" for line in lines])
    stated = load_bundle(validated.out / "bundle").card["scope"]["rejected"]["cross_validation"]
    assert stated["value"] == pytest.approx(rejected, abs=1e-4)


def test_the_bundle_knows_what_it_learned_from(validated: CrossValidation) -> None:
    bundle = load_bundle(validated.out / "bundle")
    classifier = Classifier(bundle, OnnxRuntimeEngine(bundle))
    pictures = [read_pixels(example.path) for example in validated.data.examples]
    known = classifier.classify(pictures)
    assert np.mean([one.outside_scope for one in known]) < 0.2
    stripes = np.tile(np.arange(48) % 12 < 6, (40, 1)).astype(np.float32)
    assert classifier.classify([stripes])[0].outside_scope


def test_what_is_finished_is_not_done_again(validated: CrossValidation) -> None:
    told: list[Progress] = []
    assert score_folds(replace(validated, report=told.append)) == []
    assert told == []


def test_folds_can_be_shared_out(validated: CrossValidation, tmp_path: Path) -> None:
    run = replace(validated, out=tmp_path / "run")
    assert score_folds(run, [2]) == [0, 1]
    assert score_folds(run, [0]) == [1]


def test_a_fold_that_was_stopped_goes_on(validated: CrossValidation, tmp_path: Path) -> None:
    def stop(step: Progress) -> None:
        if step.stage == "fold 0: training" and step.done == step.total:
            raise KeyboardInterrupt

    run = replace(validated, out=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        score_folds(replace(run, report=stop), [0])
    score_folds(run, [0])
    assert np.array_equal(logits_of(run), logits_of(validated))


def test_a_recipe_that_watches_a_figure_is_refused(validated: CrossValidation) -> None:
    watching = replace(validated, recipe=make_recipe())
    with pytest.raises(RecipeError, match="keeps no radiographs back"):
        score_folds(watching)


def test_no_radiograph_has_a_say_in_how_it_is_judged() -> None:
    """Logits of one fold are moved by 10: by its own decision it would fare as the other does."""
    random = np.random.default_rng(0)
    fractured = np.arange(200) % 2 == 0
    folds = np.repeat([0, 1], 100)
    logits = random.normal(size=200) + 3 * fractured + 10 * (folds == 1)
    example = make_scored(logits, fractured)
    judged = judge_cross_fitted(example, folds)
    assert judged.sensitive[folds == 1].all()
    assert not judged.sensitive[folds == 0].any()


def make_scored(logits: Sequence[float], fractured: Sequence[bool]) -> ScoredExamples:
    examples = [
        Example(Path(f"{number}.png"), bool(one), (), hardware=False)
        for number, one in enumerate(fractured)
    ]
    return ScoredExamples(examples, np.arange(len(logits), dtype="int32"), np.array(logits))


def make_validation(folder: Path, out: Path) -> CrossValidation:
    data = read_labelled_folder(folder)
    plan = folds_plan(FOLDS, 7, [Stratum.LABEL])
    folds = make_split(data.examples, plan)
    return CrossValidation(data, recipe(), folds, plan, out, None, None, lambda _: None)


def logits_of(run: CrossValidation) -> np.ndarray:
    with np.load(run.run_folder(0) / cross_validation.SCORES_FILE) as stored:
        return stored["logits"]
