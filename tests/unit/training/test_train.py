"""A whole small training: its bundle, and going on after it was stopped."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.architectures import BACKBONES
from models.bundle import load_bundle
from models.classifier import Classifier
from models.engines.onnx_engine import OnnxRuntimeEngine
from models.keras_weights import get_weights
from models.pretrained import build_pretrained
from models.reference import histogram_of
from tests.paths import REPOSITORY
from tests.unit.training import tiny_run
from tests.unit.training.labelled_folders import (
    INPUT_SIZE,
    TINY,
    draw_fracatlas,
    make_recipe,
    tiny_backbone,
)
from training import scored as scoring
from training import train
from training.card import ModelName
from training.data.example import LabelledFolder
from training.data.fracatlas import ATTRIBUTION
from training.data.layouts import read_labelled_folder
from training.data.pixels import read_pixels
from training.errors import DataError, RunError
from training.progress import Progress
from training.recipe import Recipe, recipe_from_toml
from training.scored import Decision, ScoredExamples, figures, judge
from training.split_file import load_split
from training.splits import Split, folds_plan, make_split, shares_plan
from training.statistics.intervals import with_interval
from training.train import Learned

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
    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    tiny_backbone((INPUT_SIZE, INPUT_SIZE)).save_weights(path)
    return path


@pytest.fixture(scope="module")
def run(data: LabelledFolder, backbone_weights: Path) -> Iterator[Runner]:
    """`train` with a network, data and intervals that take a second instead of an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, TINY, tiny_backbone)
        patch.setattr(scoring, "with_interval", partial(with_interval, samples=20))
        yield partial(_train, data, backbone_weights=backbone_weights)


@pytest.fixture(scope="module")
def one_epoch(run: Runner, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return _finish(run, make_recipe(epochs=1), tmp_path_factory.mktemp("one_epoch"))


@pytest.fixture(scope="module")
def two_epochs(run: Runner, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return _finish(run, make_recipe(epochs=2), tmp_path_factory.mktemp("two_epochs"))


@pytest.fixture(scope="module")
def everything(
    data: LabelledFolder, backbone_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that was never stopped, of the recipe that the killed processes follow."""
    out = tmp_path_factory.mktemp("everything") / "run"
    tiny_run.run(data.folder, backbone_weights, out)
    return out


@pytest.fixture
def copy(one_epoch: Finished, tmp_path: Path) -> Path:
    """The folder of a run of one epoch, to go on in."""
    return Path(shutil.copytree(one_epoch.out, tmp_path / "copy"))


def test_a_bundle_serves_what_its_card_was_measured_on(
    two_epochs: Finished, data: LabelledFolder
) -> None:
    """Weights that were not yet rounded for storage would be off by about 4e-6."""
    bundle = load_bundle(two_epochs.out / "bundle")
    classifier = Classifier(bundle, OnnxRuntimeEngine(bundle))
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
        points = bundle.operating_points
        judged = judge(scored, Decision(bundle.calibration, points))
        assert bundle.card["metrics"][part] == figures(scored, judged, points)


def test_a_card_tells_the_recipe_and_the_split_of_its_run(two_epochs: Finished) -> None:
    facts = load_bundle(two_epochs.out / "bundle").card["training"]
    recipe = recipe_from_toml((two_epochs.out / "recipe.toml").read_text())
    assert recipe == make_recipe(epochs=2)
    assert facts["recipe"] == asdict(recipe)
    assert "backbone.weights.h5" in facts["backbone"]
    assert facts["split"]["by"] == (
        "group: what shares a block of neighbouring ids or duplicates stays together"
    )
    split = json.loads((two_epochs.out / "split.json").read_text())
    assert facts["split"]["digest"] == split["digest"]
    assert facts["data"] == ATTRIBUTION


def test_a_run_starts_from_the_pretrained_backbone_and_keeps_its_batch_normalisation(
    one_epoch: Finished, backbone_weights: Path
) -> None:
    weights = load_bundle(one_epoch.out / "bundle").weights
    network, _ = build_pretrained(make_recipe().architecture, backbone_weights)
    before = get_weights(network)
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
    for use in ("train", "serve"):
        reading = [
            step for step in two_epochs.told if step.stage == f"reading radiographs to {use}"
        ]
        assert [step.done for step in reading] == list(range(1, 25))
        assert {step.total for step in reading} == {24}
    training = [step for step in two_epochs.told if step.stage == "training"]
    assert [step.done for step in training] == list(range(1, 2 * BATCHES + 1))
    assert {step.total for step in training} == {2 * BATCHES}
    assert training[-1].detail.startswith("epoch 2, loss ")


def test_a_run_that_goes_on_equals_one_that_was_never_stopped(
    run: Runner, copy: Path, two_epochs: Finished
) -> None:
    """Dropout, batches, optimiser and learning rate: all as if there had been no break."""
    told = _finish(run, make_recipe(epochs=2), copy, resume=True).told
    _assert_equal_lines(copy, two_epochs.out)
    first = next(step for step in told if step.stage == "training")
    assert (first.done, first.total) == (BATCHES + 1, 2 * BATCHES)
    _assert_equal_weights(copy, two_epochs.out)


def test_a_run_that_is_stopped_within_an_epoch_and_before_its_checkpoint_ends_the_same(
    run: Runner, copy: Path, two_epochs: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        run(make_recipe(epochs=2), out=copy, resume=True, report=_kill_at(BATCHES + 2))
    assert _epochs(copy) == [1]

    for place in ("save_checkpoint", "write_epochs"):
        with monkeypatch.context() as patch:
            patch.setattr(f"training.loop.{place}", _kill)
            with pytest.raises(Killed):
                run(make_recipe(epochs=2), out=copy, resume=True)
        assert _epochs(copy) == [1]

    run(make_recipe(epochs=2), out=copy, resume=True)
    _assert_equal_lines(copy, two_epochs.out)
    _assert_equal_weights(copy, two_epochs.out)


def test_a_run_whose_process_is_killed_ends_as_one_that_was_never_stopped(
    data: LabelledFolder, backbone_weights: Path, everything: Path, tmp_path: Path
) -> None:
    """SIGKILL in mid-epoch; two logits, averages, oversampling, batch statistics, dropout."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tests.unit.training.tiny_run"]
    arguments = [str(data.folder), str(backbone_weights), str(out)]
    process = subprocess.run([*command, *arguments, str(BATCHES + 2)], cwd=REPOSITORY, check=False)
    assert process.returncode == -signal.SIGKILL
    assert _epochs(out) == [1]
    assert not (out / "bundle").exists()

    subprocess.run([*command, *arguments, "--resume"], cwd=REPOSITORY, check=True)
    _assert_equal_lines(out, everything)
    _assert_equal_weights(out, everything)


def test_patience_goes_on_where_it_was(run: Runner, tmp_path: Path) -> None:
    """Nothing is learned, so the first epoch is the best: after two more it is over."""
    recipe = replace(make_recipe(epochs=9), learning_rate=0.0, patience=2)
    out = tmp_path / "run"
    with pytest.raises(Killed):
        run(recipe, out=out, report=_kill_at(2 * BATCHES + 1))
    assert _epochs(out) == [1, 2]
    for _ in range(2):
        with suppress(RunError):  # what was not trained need not rank
            run(recipe, out=out, resume=True)
        assert _epochs(out) == [1, 2, 3]


def test_a_checkpoint_that_was_damaged_is_refused_with_its_path(run: Runner, copy: Path) -> None:
    checkpoint = copy / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    with pytest.raises(RunError, match=r"checkpoint\.npz.*delete it"):
        run(make_recipe(epochs=2), out=copy, resume=True)


def test_a_finished_run_that_goes_on_writes_the_same_bundle_without_training(
    run: Runner, one_epoch: Finished, copy: Path
) -> None:
    told = _finish(run, make_recipe(epochs=1), copy, resume=True).told
    assert {step.stage for step in told} == {"fitting the scope", "measuring the scope"}
    assert _epochs(copy) == [1]
    before, after = load_bundle(one_epoch.out / "bundle"), load_bundle(copy / "bundle")
    assert before.identity == after.identity


def test_a_folder_with_a_run_is_refused_unless_it_is_to_go_on(
    run: Runner, one_epoch: Finished, tmp_path: Path
) -> None:
    before = _contents(one_epoch.out)
    with pytest.raises(RunError, match="go on with it by --resume"):
        run(make_recipe(), out=one_epoch.out)
    with pytest.raises(RunError, match="holds no run to go on with"):
        run(make_recipe(), out=tmp_path / "nothing", resume=True)
    assert _contents(one_epoch.out) == before
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_a_run_of_another_recipe_is_refused_and_left_alone(
    run: Runner, one_epoch: Finished, resume: bool
) -> None:
    """Its weights may have seen what would now be the test part."""
    before = _contents(one_epoch.out)
    with pytest.raises(RunError, match=r"another seed, split of the data.*--out") as refusal:
        run(make_recipe(seed=8), out=one_epoch.out, resume=resume)
    assert str(one_epoch.out) in str(refusal.value)
    assert _contents(one_epoch.out) == before


def test_a_folder_with_a_run_on_other_data_is_refused(
    one_epoch: Finished, data: LabelledFolder, backbone_weights: Path
) -> None:
    fewer = replace(data, examples=data.examples[:-2])
    with pytest.raises(RunError, match="another split of the data"):
        _train(fewer, make_recipe(), backbone_weights=backbone_weights, out=one_epoch.out)


def test_a_folder_with_a_run_from_other_weights_is_refused(
    run: Runner, one_epoch: Finished, tmp_path: Path
) -> None:
    path = tmp_path / "other.weights.h5"
    tiny_backbone((INPUT_SIZE, INPUT_SIZE)).save_weights(path)
    for weights in (path, None):
        with pytest.raises(RunError, match="another file of weights"):
            run(make_recipe(), out=one_epoch.out, resume=True, backbone_weights=weights)


def test_a_split_of_ones_own_is_kept_and_followed(
    run: Runner, data: LabelledFolder, tmp_path: Path
) -> None:
    split = make_split(data.examples, shares_plan([50, 25, 25], 3))
    out = run(make_recipe(), out=tmp_path / "run", split=split).parent
    assert load_split(out / "split.json", data) == split
    card = load_bundle(out / "bundle").card
    assert card["training"]["split"]["digest"] == split.digest
    assert card["training"]["split"]["train"] == len(split.rows("train"))
    assert "--split split.json" in card["training"]["command"]


def test_a_split_without_a_validation_or_a_test_part_is_refused(
    run: Runner, data: LabelledFolder, tmp_path: Path
) -> None:
    for plan, missing in (
        (shares_plan([80, 20], 3), "train, test and not validation;"),
        (folds_plan(3, 3), "fold 0, fold 1, fold 2 and not test, train, validation;"),
    ):
        with pytest.raises(DataError, match=f"{missing} `data split --shares"):
            run(make_recipe(), out=tmp_path / "run", split=make_split(data.examples, plan))
    assert not (tmp_path / "run").exists()


def test_without_weights_all_is_random_and_the_card_says_so(run: Runner, tmp_path: Path) -> None:
    bundle = run(make_recipe(epochs=4), out=tmp_path / "run", backbone_weights=None)
    facts = load_bundle(bundle).card["training"]
    assert facts["backbone"] == "no pretrained weights: all layers started random"
    assert "--weights" not in facts["command"]


def test_a_loss_that_is_not_finite_stops_the_run(run: Runner, tmp_path: Path) -> None:
    recipe = replace(make_recipe(), learning_rate=float("inf"))
    with pytest.raises(RunError, match="epoch 1, step 2 is nan"):
        run(recipe, out=tmp_path / "run")


def test_averaged_weights_are_what_is_kept_and_training_goes_on_from_the_others(
    run: Runner, one_epoch: Finished, tmp_path: Path
) -> None:
    """With a decay next to nothing an average is the last step's weights."""
    kept = {}
    for decay in (1e-6, 0.9):
        out = tmp_path / str(decay)
        run(replace(make_recipe(), average_decay=decay), out=out)
        kept[decay] = load_bundle(out / "bundle").weights["conv1/kernel"]
    plain = load_bundle(one_epoch.out / "bundle").weights["conv1/kernel"]
    assert kept[1e-6] == pytest.approx(plain, abs=1e-5)
    assert np.abs(kept[0.9] - plain).max() > 1e-3
    line_of_average, plain_line = _lines(tmp_path / "0.9")[0], _lines(one_epoch.out)[0]
    assert line_of_average["loss"] == pytest.approx(plain_line["loss"], rel=1e-5)


def test_runs_may_share_decoded_radiographs(run: Runner, copy: Path, tmp_path: Path) -> None:
    shared = copy / "cache"
    before = _contents(shared)
    assert len(before) == 2  # to train and to serve, all parts in one
    out = tmp_path / "second"
    recipe = replace(make_recipe(), batch_size=8)
    told = _finish(run, recipe, out, cache=shared).told
    assert not [step.stage for step in told if step.stage.startswith("reading")]
    assert _contents(shared) == before
    assert not (out / "cache").exists()


@pytest.mark.parametrize("content", [b"", b"not HDF5", None])
def test_weights_that_cannot_be_loaded_are_named(
    run: Runner, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.weights\.h5"):
        run(make_recipe(), out=tmp_path / "run", backbone_weights=path)


def test_weights_of_another_network_are_named(run: Runner, tmp_path: Path) -> None:
    import keras

    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(DataError, match=rf"other\.weights\.h5 as weights of {TINY}: it holds"):
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
    backbone_weights: Path | None,
    out: Path,
    split: Split | None = None,
    resume: bool = False,
    cache: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Path:
    return train.train(
        data,
        recipe,
        name=ModelName("test-net", "0.0.1"),
        backbone_weights=backbone_weights,
        out=out,
        split=split,
        resume=resume,
        cache=cache,
        report=report,
    )


def _finish(run: Runner, recipe: Recipe, out: Path, **options: Any) -> Finished:
    """Run, keeping what the card was made of."""
    scored: dict[str, ScoredExamples] = {}
    told: list[Progress] = []
    score = Learned.score

    def remember(learned: Learned, part: str) -> ScoredExamples:
        scored[part] = score(learned, part)
        return scored[part]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learned, "score", remember)
        run(recipe, out=out, report=told.append, **options)
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
        assert line.pop("seconds") > 0
        other.pop("seconds")
        assert line == pytest.approx(other, rel=1e-5)


def _assert_equal_weights(found: Path, expected: Path) -> None:
    """Those of the best epoch and of the bundle."""
    with np.load(found / "best.npz") as best, np.load(expected / "best.npz") as other:
        assert set(best.files) == set(other.files)
        for name in best.files:
            assert best[name] == pytest.approx(other[name], abs=1e-6), name
    bundle, other_bundle = (load_bundle(out / "bundle") for out in (found, expected))
    assert bundle.card["training"] == other_bundle.card["training"]


def _epochs(out: Path) -> list[float]:
    return [line["epoch"] for line in _lines(out)]
