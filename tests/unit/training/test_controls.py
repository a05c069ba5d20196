"""Controls: they see a shortcut that was planted, and none where there is none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.controls import metadata_aucs, shuffled_labels
from training.data.example import Example
from training.data.fingerprints import Fingerprint
from training.splits import Split


def test_a_region_that_gives_the_label_away_is_seen_alone_and_among_all() -> None:
    found = _aucs(lambda fractured, _: {"region": "hand" if fractured else "leg"})
    assert found["region"] == 1.0
    assert found["all"] > 0.95
    assert found["view"] == 0.5


def test_hardware_that_gives_the_label_away_is_left_out_of_the_second_line() -> None:
    found = _aucs(lambda fractured, _: {"hardware": fractured})
    assert found["hardware"] == 1.0
    assert found["all"] > 0.95
    assert 0.3 < found["all but hardware"] < 0.7


def test_attributes_that_know_nothing_of_the_label_are_at_chance() -> None:
    found = _aucs(lambda _, random: {"region": str(random.choice(["hand", "leg"]))})
    assert 0.35 < found["all"] < 0.65
    assert all(0.3 < value < 0.7 for value in found.values())


def test_an_attribute_that_is_the_same_everywhere_is_exactly_chance_within_every_fold() -> None:
    """Ranked together, folds of different prevalence would put it below."""
    assert _aucs(lambda _, __: {})["region"] == 0.5


def test_labels_are_shuffled_within_the_part_only_and_by_the_seed() -> None:
    labels = np.arange(200) % 4 == 0
    part_of = tuple("train" if row < 120 else "test" for row in range(200))
    split = Split(("train", "test"), part_of, tuple(range(200)), "")
    shuffled = shuffled_labels(labels, split, "train", seed=1)
    assert np.array_equal(shuffled[120:], labels[120:])
    assert shuffled[:120].sum() == labels[:120].sum()
    assert not np.array_equal(shuffled, labels)
    assert np.array_equal(shuffled, shuffled_labels(labels, split, "train", seed=1))
    assert not np.array_equal(shuffled, shuffled_labels(labels, split, "train", seed=2))
    assert np.array_equal(labels, np.arange(200) % 4 == 0)


def _aucs(
    attributes: Callable[[bool, np.random.Generator], dict[str, object]],
) -> dict[str, float]:
    """Values by attribute; 200 radiographs of 100 patients."""
    random = np.random.default_rng(5)
    labels = [bool(random.random() < 0.3) for _ in range(200)]
    examples = [
        Example(
            Path(f"{row}.png"),
            fractured,
            (f"patient {row // 2}",),
            **attributes(fractured, random),  # type: ignore[arg-type]
        )
        for row, fractured in enumerate(labels)
    ]
    fingerprints = [
        Fingerprint(
            int(random.integers(10_000, 90_000)), "", "", int(random.integers(300, 900)),
            int(random.integers(300, 900)), float(random.random()), np.zeros((32, 32), np.uint8),
        )
        for _ in labels
    ]  # fmt: skip
    everything, without_hardware, *single = metadata_aucs(examples, fingerprints, 1, samples=20)
    for one in (everything, without_hardware, *single):
        assert one.estimate.low <= one.estimate.value <= one.estimate.high
    return {
        "all": everything.estimate.value,
        "all but hardware": without_hardware.estimate.value,
        **{one.attributes[0]: one.estimate.value for one in single},
    }
