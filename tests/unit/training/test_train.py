"""A whole small training: its bundle, and going on after it was stopped."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.architectures import BACKBONES, build
from models.bundle import load_bundle
from models.classifier import Classifier
from models.engine import get_weights
from models.reference import histogram_of
from tests.unit.training.labelled_folders import (
    INPUT_SIZE,
    TINY,
    draw_fracatlas,
    make_recipe,
    tiny_backbone,
)
from training import card, train
from training.card import ModelName, ScoredExamples
from training.data.example import LabelledFolder
from training.data.fracatlas import ATTRIBUTION
from training.data.layouts import read_labelled_folder
from training.data.pixels import read_pixels
from training.errors import DataError, RunError
from training.recipe import Recipe
from training.split_file import load_split
from training.statistics.intervals import with_interval
from training.train import Progress

Runner = Callable[..., Path]
BATCHES = 4
"""16 radiographs for training, 4 to a batch."""


class Killed(BaseException):
    """Stands in for a signal: nothing in the code under test may catch it."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A run of one or more epochs, what it scored its card on, and what it told."""

    out: Path
    scored: dict[str, ScoredExamples]
    told: list[Progress]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelledFolder:
    return read_labelled_folder(draw_fracatlas(tmp_path_factory.mktemp("data") / "fracatlas"))


@pytest.fixture(scope="module")
def backbone_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    tiny_backbone(INPUT_SIZE).save_weights(path)
    return path


@pytest.fixture(scope="module")
def run(data: LabelledFolder, backbone_weights: Path) -> Iterator[Runner]:
    """`train` with a network, data and intervals that take a second instead of an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, TINY, tiny_backbone)
        patch.setattr(card, "with_interval", partial(with_interval, samples=20))
        yield partial(_train, data, backbone_weights=backbone_weights)


@pytest.fixture(scope="module")
def one_epoch(run: Runner, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return _finish(run, make_recipe(epochs=1), tmp_path_factory.mktemp("one_epoch"))


@pytest.fixture(scope="module")
def two_epochs(run: Runner, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return _finish(run, make_recipe(epochs=2), tmp_path_factory.mktemp("two_epochs"))


@pytest.fixture
def copy(one_epoch: Finished, tmp_path: Path) -> Path:
    """The folder of a run of one epoch, to go on in."""
    return Path(shutil.copytree(one_epoch.out, tmp_path / "copy"))


def test_a_bundle_serves_what_its_card_was_measured_on(
    two_epochs: Finished, data: LabelledFolder
) -> None:
    """Weights that were not yet rounded for storage would be off by about 4e-6."""
    bundle = load_bundle(two_epochs.out / "bundle")
    classifier = Classifier(bundle)
    split = load_split(two_epochs.out / "split.json", data)
    assert [len(split.rows(part)) for part in ("train", "validation", "test")] == [16, 4, 4]
    for part in ("validation", "test"):
        pictures = [data.examples[row] for row in split.rows(part)]
        served = classifier.classify([read_pixels(picture.path) for picture in pictures])
        scored = two_epochs.scored[part]
        assert [one.prediction.probability for one in served] == pytest.approx(
            list(bundle.calibration.probability(scored.logits)), abs=1e-6
        )
        assert list(scored.fractured) == [picture.fractured for picture in pictures]
        assert bundle.card["metrics"][part] == card.figures(
            scored, bundle.calibration, bundle.operating_points
        )


def test_a_card_tells_the_recipe_and_the_split_of_its_run(two_epochs: Finished) -> None:
    facts = load_bundle(two_epochs.out / "bundle").card["training"]
    assert facts["recipe"] == json.loads((two_epochs.out / "recipe.json").read_text())
    assert facts["recipe"]["epochs"] == 2
    split = json.loads((two_epochs.out / "split.json").read_text())
    assert facts["split"]["digest"] == split["digest"]
    assert facts["data"] == ATTRIBUTION


def test_a_run_starts_from_the_pretrained_backbone_and_keeps_its_batch_normalisation(
    one_epoch: Finished, backbone_weights: Path
) -> None:
    weights = load_bundle(one_epoch.out / "bundle").weights
    before = get_weights(build(make_recipe().architecture, backbone_weights=backbone_weights))
    for name in ("bn1/gamma", "bn1/beta", "bn1/moving_mean", "bn1/moving_variance"):
        assert np.array_equal(weights[name], before[name]), name
    moved = np.abs(weights["conv1/kernel"] - before["conv1/kernel"])
    assert 0 < moved.max() < 0.2


def test_a_bundle_holds_the_epoch_of_the_best_validation_figure_and_not_the_last(
    one_epoch: Finished, two_epochs: Finished
) -> None:
    first, second = (line["val_auc"] for line in _lines(two_epochs.out))
    after_one, after_two = (
        load_bundle(run.out / "bundle").weights for run in (one_epoch, two_epochs)
    )
    same = all(np.allclose(after_two[name], after_one[name], atol=1e-5) for name in after_one)
    assert same == (first >= second)


def test_progress_counts_radiographs_and_then_batches(two_epochs: Finished) -> None:
    reading = [step for step in two_epochs.told if step.stage == "reading radiographs"]
    training = [step for step in two_epochs.told if step.stage == "training"]
    assert [step.done for step in reading] == list(range(1, 17))
    assert {step.total for step in reading} == {16}
    assert [step.done for step in training] == list(range(1, 2 * BATCHES + 1))
    assert {step.total for step in training} == {2 * BATCHES}
    assert training[-1].detail.startswith("epoch 2, loss ")


def test_a_run_that_goes_on_equals_one_that_was_never_stopped(
    run: Runner, copy: Path, two_epochs: Finished
) -> None:
    """Taken up again are the optimiser's state and the batches; only dropout is drawn anew."""
    told = _finish(run, make_recipe(epochs=2), copy).told
    _assert_equal_lines(copy, two_epochs.out)
    first = next(step for step in told if step.stage == "training")
    assert (first.done, first.total) == (BATCHES + 1, 2 * BATCHES)
    expected = load_bundle(two_epochs.out / "bundle").weights
    for name, array in load_bundle(copy / "bundle").weights.items():
        assert array == pytest.approx(expected[name], abs=1e-4), name


def test_a_run_that_is_killed_twice_still_ends_as_one_that_was_never_stopped(
    run: Runner, copy: Path, two_epochs: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First within its second epoch, then between that epoch's log and its backup."""
    with pytest.raises(Killed):
        run(make_recipe(epochs=2), out=copy, report=_kill_at(BATCHES + 2))
    assert _epochs(copy) == [1]

    with monkeypatch.context() as patch:
        patch.setattr("keras.callbacks.BackupAndRestore._save_model", _kill)
        with pytest.raises(Killed):
            run(make_recipe(epochs=2), out=copy)
    assert _epochs(copy) == [1, 2]

    run(make_recipe(epochs=2), out=copy)
    _assert_equal_lines(copy, two_epochs.out)
    assert load_bundle(copy / "bundle").card["training"]["recipe"]["epochs"] == 2


def test_a_backup_that_was_torn_while_it_was_written_costs_one_epoch(
    run: Runner, two_epochs: Finished, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(two_epochs.out, tmp_path / "torn"))
    backup = out / "backup" / "latest.weights.h5"
    backup.write_bytes(backup.read_bytes()[:2000])
    told = _finish(run, make_recipe(epochs=2), out).told
    assert next(step for step in told if step.stage == "training").done == BATCHES + 1
    assert _epochs(out) == [1, 2]


def test_a_finished_run_that_is_given_again_writes_the_same_bundle_without_training(
    run: Runner, one_epoch: Finished, copy: Path
) -> None:
    told = _finish(run, make_recipe(epochs=1), copy).told
    assert not [step for step in told if step.stage == "training"]
    assert _epochs(copy) == [1]
    before, after = load_bundle(one_epoch.out / "bundle"), load_bundle(copy / "bundle")
    assert before.identity == after.identity


def test_a_folder_with_a_run_of_another_recipe_is_refused_and_left_alone(
    run: Runner, one_epoch: Finished
) -> None:
    """Its weights may have seen what would now be the test part."""
    before = _contents(one_epoch.out)
    with pytest.raises(RunError, match=r"another seed, split of the data.*--out") as refusal:
        run(make_recipe(seed=8), out=one_epoch.out)
    assert str(one_epoch.out) in str(refusal.value)
    assert _contents(one_epoch.out) == before


def test_a_folder_with_a_run_on_other_data_is_refused(
    one_epoch: Finished, data: LabelledFolder, backbone_weights: Path
) -> None:
    fewer = replace(data, examples=data.examples[:-2])
    with pytest.raises(RunError, match="another split of the data"):
        _train(fewer, make_recipe(), backbone_weights=backbone_weights, out=one_epoch.out)


@pytest.mark.parametrize("content", [b"", b"not HDF5", None])
def test_weights_that_cannot_be_loaded_are_named(
    run: Runner, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.weights\.h5"):
        run(make_recipe(), out=tmp_path / "run", backbone_weights=path)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_network_are_named(run: Runner, tmp_path: Path) -> None:
    import keras

    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(DataError, match=rf"other\.weights\.h5 is not .* of {TINY}"):
        run(make_recipe(), out=tmp_path / "run", backbone_weights=path)


def test_a_radiograph_that_cannot_be_read_stops_the_run_with_its_path(
    data: LabelledFolder, tmp_path: Path, backbone_weights: Path
) -> None:
    missing = LabelledFolder(
        tmp_path,
        "fracatlas",
        tuple(replace(one, path=tmp_path / one.path.name) for one in data.examples),
        "drawn by a test",
    )
    with pytest.raises(DataError, match=str(tmp_path)):
        _train(missing, make_recipe(), backbone_weights=backbone_weights, out=tmp_path / "run")


def test_a_bundle_carries_the_reference_of_its_validation_part(two_epochs: Finished) -> None:
    bundle = load_bundle(two_epochs.out / "bundle")
    validation = bundle.calibration.probability(two_epochs.scored["validation"].logits)
    assert bundle.reference["probability"] == histogram_of(validation)
    assert sum(bundle.reference["pixels"].counts) == len(validation)


def _train(
    data: LabelledFolder,
    recipe: Recipe,
    *,
    backbone_weights: Path,
    out: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> Path:
    return train.train(
        data,
        recipe,
        name=ModelName("test-net", "0.0.1"),
        backbone_weights=backbone_weights,
        out=out,
        report=report,
    )


def _finish(run: Runner, recipe: Recipe, out: Path) -> Finished:
    """Run, keeping what the card was made of."""
    scored: dict[str, ScoredExamples] = {}
    told: list[Progress] = []

    def remember(*arguments: Any, **parts: Any) -> dict[str, Any]:  # Any: as `make_card` takes
        scored.update(parts)
        return card.make_card(*arguments, **parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "make_card", remember)
        run(recipe, out=out, report=told.append)
    return Finished(out, scored, told)


def _kill_at(batch: int) -> Callable[[Progress], None]:
    def kill(step: Progress) -> None:
        if step.stage == "training" and step.done == batch:
            raise Killed

    return kill


def _kill(*_: Any) -> None:
    raise Killed


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "epochs.jsonl").read_text().splitlines()]


def _assert_equal_lines(found: Path, expected: Path) -> None:
    for line, other in zip(_lines(found), _lines(expected), strict=True):
        assert line == pytest.approx(other, rel=1e-4)


def _epochs(out: Path) -> list[float]:
    return [line["epoch"] for line in _lines(out)]
