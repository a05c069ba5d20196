"""Heads on cached features: they are the whole network's, and nothing is computed twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from models.architectures import log_odds
from models.keras_weights import get_weights, set_weights
from models.preprocessing import to_network_input
from models.pretrained import build_pretrained
from tests.unit.training.drawn import draw_table
from tests.unit.training.small_papers import backbone_weights, small_papers
from training.data.example import LabelledFolder
from training.data.layouts import read_labelled_folder
from training.experiments.heads import Copies, Held, head_log_odds, train_head
from training.experiments.pooled_features import PooledFeatures, copies_per_radiograph
from training.loop import compiled, predicted_log_odds
from training.presets import PRESETS
from training.progress import Progress
from training.recipe import Recipe

COPIES = 2


class Killed(BaseException):
    """Stands in for a signal: nothing in the code under test may catch it."""


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with small_papers():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelledFolder:
    return read_labelled_folder(draw_table(tmp_path_factory.mktemp("data"), count=80))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backbone_weights(tmp_path_factory.mktemp("weights"))


def _balanced() -> Recipe:
    return PRESETS["paper_b_balanced"]


def test_a_head_trained_on_cached_features_is_the_whole_networks(
    data: LabelledFolder, weights: Path, tmp_path: Path
) -> None:
    recipe = _balanced()
    features = PooledFeatures(data, recipe, weights, tmp_path, lambda _: None)
    everything = np.arange(len(data.examples))
    fractured = np.array([example.fractured for example in data.examples])
    train, held = everything[:60], everything[60:]
    counts = np.where(everything < 60, COPIES, 0)
    plain = features.plain(everything)
    copies = Copies(features.copies(counts), counts, train, fractured[train])
    head = train_head(recipe, copies, Held(plain[held], fractured[held]))
    assert [epoch.epoch for epoch in head.history] == [1, 2]

    network, _ = build_pretrained(recipe.architecture, weights)
    set_weights(network, {**get_weights(network), **head.weights})
    whole = predicted_log_odds(
        compiled(network, recipe), recipe, features.serving_squares, everything
    )
    ours = head_log_odds(head.weights, plain)
    assert ours == pytest.approx(whole, abs=1e-5)
    assert ours.std() > 1e-3


def test_a_step_of_a_head_is_the_step_of_the_whole_network(
    data: LabelledFolder, weights: Path, tmp_path: Path
) -> None:
    """Without dropout, which draws otherwise in another network."""
    from training.batches import Batch
    from training.freezing import freeze
    from training.loop import train_step

    recipe = replace(_balanced(), architecture=replace(_balanced().architecture, dropout=0.0))
    features = PooledFeatures(data, recipe, weights, tmp_path, lambda _: None)
    rows = np.arange(8)
    fractured = np.array([data.examples[row].fractured for row in rows])
    network, pretrained = build_pretrained(recipe.architecture, weights)
    freeze(network, recipe.freezing, pretrained.random)
    from models.architectures import build_head

    head = build_head(recipe.architecture, features.plain(rows).shape[1])
    set_weights(head, {name: get_weights(network)[name] for name in get_weights(head)})
    inputs = to_network_input(features.serving_squares[rows], recipe.preprocessing.normalization)
    evenly = np.ones(2, np.float32)
    train_step(compiled(network, recipe), Batch(inputs, fractured), evenly)
    train_step(compiled(head, recipe), Batch(features.plain(rows), fractured), evenly)
    for name, array in get_weights(head).items():
        assert get_weights(network)[name] == pytest.approx(array, abs=1e-5), name


def test_copies_are_augmented_each_in_its_own_way_and_the_same_again(
    data: LabelledFolder, weights: Path, tmp_path: Path
) -> None:
    counts = np.full(len(data.examples), COPIES)
    make = lambda folder: PooledFeatures(  # noqa: E731
        data, _balanced(), weights, tmp_path / folder, lambda _: None
    )
    first, again = make("first").copies(counts), make("again").copies(counts)
    plain = make("first").plain(np.arange(len(counts)))
    assert len(first) == COPIES
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first[0], plain)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)


def test_features_that_a_kill_left_are_not_computed_again(
    data: LabelledFolder, weights: Path, tmp_path: Path
) -> None:
    """80 radiographs in batches of 32; killed after the second of three."""
    told: list[Progress] = []

    def kill(step: Progress) -> None:
        if step.stage == "computing pooled features" and step.done >= 64:
            raise Killed

    everything = np.arange(len(data.examples))
    with pytest.raises(Killed):
        PooledFeatures(data, _balanced(), weights, tmp_path, kill).plain(everything)
    whole = PooledFeatures(data, _balanced(), weights, tmp_path, told.append).plain(everything)
    computed = [step for step in told if step.stage == "computing pooled features"]
    assert [(step.done, step.total) for step in computed] == [(16, 16)]
    fresh = PooledFeatures(data, _balanced(), weights, tmp_path / "fresh", lambda _: None)
    assert np.array_equal(whole, fresh.plain(everything))


def test_features_of_another_backbone_are_not_taken_for_these(
    data: LabelledFolder, weights: Path, tmp_path: Path
) -> None:
    rows = np.arange(4)
    pretrained = PooledFeatures(data, _balanced(), weights, tmp_path, lambda _: None).plain(rows)
    random = PooledFeatures(data, _balanced(), None, tmp_path, lambda _: None).plain(rows)
    assert not np.allclose(pretrained, random)


def test_a_balanced_epoch_shows_both_classes_equally_and_no_copy_twice() -> None:
    """Ten others and five fractured: the fractured are shown twice, as both of their copies."""
    fractured = np.arange(15) < 5
    counts = copies_per_radiograph(fractured, 1)
    assert list(counts) == [2] * 5 + [1] * 10
    row = np.arange(15, dtype=np.float32)[:, np.newaxis]
    features = [row, 100 + row]
    copies = Copies(features, counts, np.arange(15), fractured)
    shown = list(copies.batches(replace(_balanced(), batch_size=4), epoch=0))
    labels = np.concatenate([batch.fractured for batch in shown])
    values = Counter(np.concatenate([batch.inputs for batch in shown])[:, 0].tolist())
    assert (len(labels), int(labels.sum())) == (20, 10)
    assert values == Counter([*range(15), *(100 + row for row in range(5))])


def test_epochs_are_ordered_otherwise_and_a_raw_one_shows_each_radiograph_once() -> None:
    fractured = np.arange(40) < 5
    counts = copies_per_radiograph(fractured, 2)
    features = [np.tile(np.arange(40, dtype=np.float32)[:, np.newaxis], 3)] * int(counts.max())
    copies = Copies(features, counts, np.arange(40), fractured)
    raw = PRESETS["paper_b_raw"]
    orders = [
        [value for batch in copies.batches(raw, epoch) for value in batch.inputs[:, 0]]
        for epoch in (0, 1)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40))
    assert orders[0] != orders[1]


def test_a_head_learns_what_features_tell_and_again_the_same() -> None:
    random = np.random.default_rng(1)
    fractured = random.random(200) < 0.3
    features = random.normal(size=(200, 6)).astype(np.float32)
    features[:, 0] += 3.0 * fractured
    copies = Copies([features], np.ones(200, np.int64), np.arange(150), fractured[:150])
    held = Held(features[150:], fractured[150:])
    recipe = replace(PRESETS["paper_b_raw"], epochs=5)
    first, again = (train_head(recipe, copies, held) for _ in range(2))
    best = max(epoch.val_auc or 0.0 for epoch in first.history)
    assert best > 0.9
    scores = head_log_odds(first.weights, held.features)
    assert np.array_equal(scores, head_log_odds(again.weights, held.features))


def test_an_epochs_figures_are_means_over_the_epoch() -> None:
    """Without learning, dropout or classes to weigh they are those of the untrained head; the last
    batch is one radiograph."""
    random = np.random.default_rng(6)
    features = random.normal(size=(33, 5)).astype(np.float32)
    fractured = random.random(33) < 0.4
    raw = PRESETS["paper_b_raw"]
    still = replace(raw.architecture, dropout=0.0)
    recipe = replace(raw, architecture=still, learning_rate=0.0, batch_size=32, epochs=1)
    copies = Copies([features], np.ones(33, np.int64), np.arange(33), fractured)
    head = train_head(recipe, copies, Held(features, fractured))
    (epoch,) = head.history
    assert epoch.loss == pytest.approx(epoch.val_loss, abs=1e-5)
    assert epoch.accuracy == pytest.approx(epoch.val_accuracy)


def test_a_heads_log_odds_are_kerass() -> None:
    from models.architectures import build_head

    keras.utils.set_random_seed(4)
    head = build_head(PRESETS["paper_b_raw"].architecture, 10)
    features = np.random.default_rng(2).normal(size=(7, 10)).astype(np.float32)
    expected = log_odds(head.predict_on_batch(features)[1])
    assert head_log_odds(get_weights(head), features) == pytest.approx(expected, abs=1e-5)
