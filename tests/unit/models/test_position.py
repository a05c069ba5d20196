"""Radiographs that lie on their side are turned before they are classified."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import FORMAT, POSITION_FILE, ModelBundle, load_bundle, save_bundle
from models.classifier import Classifier
from models.errors import BundleError
from models.position import PositionHead, position_from_bytes, position_to_bytes
from models.prediction import FloatArray
from tests.unit.models.bundles import (
    FakeEngine,
    identity_head,
    make_bundle,
    make_card,
    make_scope,
    make_weights,
)

ROWS, COLUMNS = 64, 32
HEAD = PositionHead(np.array([-8.0, 8.0], np.float32), 0.0)
"""Lies where the second feature, of columns, is the stronger one."""


def standing() -> FloatArray:
    """A picture that changes from row to row alone, with a bright bar near its top."""
    picture = np.zeros((ROWS, COLUMNS), np.float32)
    picture[8:14] = 1.0
    return picture


def edges(batch: FloatArray) -> FloatArray:
    """Two features on a grid of 16 × 16: changes along rows, and along columns."""
    grey = batch[..., 0]
    down = np.abs(np.diff(grey[:, :, 32:33], axis=1, append=0)).repeat(64, axis=2)
    across = np.abs(np.diff(grey[:, 32:33, :], axis=2, append=0)).repeat(64, axis=1)
    features = np.stack([down, across], axis=-1)
    return features.reshape(len(batch), 16, 4, 16, 4, 2).mean(axis=(2, 4))


def logits_of_standing(batch: FloatArray) -> FloatArray:
    """Sure of a fracture, where the bar lies across."""
    features = edges(batch).mean(axis=(1, 2))
    return np.where(features[:, 0] > features[:, 1], 9.0, -9.0).astype(np.float32)


def classifier_with(head: PositionHead | None) -> tuple[Classifier, FakeEngine]:
    engine = FakeEngine(edges, logits_of_standing)
    bundle: ModelBundle = replace(make_bundle(weights=identity_head(2)), position=head)
    return Classifier(bundle, engine), engine


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_radiograph_is_classified_alike_however_it_is_turned(quarters: int) -> None:
    classifier, _ = classifier_with(HEAD)
    turned = np.ascontiguousarray(np.rot90(standing(), quarters))
    (result,) = classifier.classify([turned])
    assert result.prediction.probability > 0.9


@pytest.mark.parametrize("quarters", [1, 3])
def test_without_a_head_a_turned_radiograph_is_seen_as_it_comes(quarters: int) -> None:
    classifier, _ = classifier_with(None)
    (result,) = classifier.classify([np.ascontiguousarray(np.rot90(standing(), quarters))])
    assert result.prediction.probability < 0.1


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_saliency_map_lies_on_the_radiograph_as_it_came(quarters: int) -> None:
    classifier, _ = classifier_with(HEAD)
    turned = np.ascontiguousarray(np.rot90(standing(), quarters))
    (result,) = classifier.classify([turned])
    rows, columns = result.saliency.values.shape
    assert (rows > columns) == (turned.shape[0] > turned.shape[1])
    strongest = np.unravel_index(result.saliency.values.argmax(), (rows, columns))
    at = tuple(int(place) for place in strongest)
    bright = np.argwhere(turned == 1.0).mean(axis=0) / turned.shape
    along = 0 if quarters in (0, 2) else 1
    assert at[along] / (rows, columns)[along] == pytest.approx(bright[along], abs=0.12)


def test_only_what_lies_costs_a_second_pass() -> None:
    classifier, engine = classifier_with(HEAD)
    lying = np.ascontiguousarray(np.rot90(standing()))
    classifier.classify([standing(), lying, standing()])
    assert engine.batch_sizes == [3, 1]


def test_what_seems_to_lie_either_way_stays_as_it_came() -> None:
    always = PositionHead(np.array([1.0, 1.0], np.float32), 5.0)
    classifier, _ = classifier_with(always)
    (result,) = classifier.classify([standing()])
    assert result.prediction.probability > 0.9


def test_a_head_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="head of 2 features cannot judge 3"):
        HEAD.lies(np.ones((1, 2, 2, 3), np.float32))


def test_a_head_comes_back_number_for_number_and_nothing_else_is_taken() -> None:
    back = position_from_bytes(position_to_bytes(HEAD))
    assert np.array_equal(back.kernel, HEAD.kernel)
    assert back.offset == HEAD.offset
    for stored in (b"", b"PK\x03\x04 no", position_to_bytes(HEAD)[:40]):
        with pytest.raises(ValueError, match="not a file of arrays"):
            position_from_bytes(stored)
    with pytest.raises(ValueError, match="all finite"):
        PositionHead(np.array([np.nan], np.float32), 0.0)


def test_a_bundle_keeps_its_head_and_states_a_format_that_older_versions_refuse(
    tmp_path: Path,
) -> None:
    head = PositionHead(np.arange(32, dtype=np.float32), -1.0)
    save_bundle(tmp_path, make_card(), make_weights(), make_scope(32), position=head)
    loaded = load_bundle(tmp_path)
    assert loaded.position is not None
    assert np.array_equal(loaded.position.kernel, head.kernel)
    assert loaded.card["format"] == FORMAT == 3


def test_a_changed_or_foreign_head_is_refused_with_its_name(tmp_path: Path) -> None:
    save_bundle(tmp_path, make_card(), make_weights(), make_scope(32), position=HEAD)
    with pytest.raises(BundleError, match=r"position\.npz is of 2 features, not of 32"):
        load_bundle(tmp_path)
    (tmp_path / POSITION_FILE).write_bytes(b"other")
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(tmp_path)
