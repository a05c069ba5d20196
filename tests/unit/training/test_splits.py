"""Grouped, stratified splits: nothing leaks, nothing is lost, and the same seed parts the same."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.paths import SHARED_DATA, needs_shared_data
from tests.unit.training.labelled_folders import make_example
from training.data.example import Example
from training.data.fracatlas import read_fracatlas
from training.errors import DataError
from training.splits import Split, connected_groups, split_by_group

NAMES = st.lists(
    st.lists(st.sampled_from("abcdefghijklmnop"), max_size=3).map(tuple), min_size=1, max_size=25
)


@given(NAMES)
def test_whoever_shares_a_name_is_joined_transitively_and_nobody_else(
    names: list[tuple[str, ...]],
) -> None:
    examples = [make_example(at, fractured=False, groups=own) for at, own in enumerate(names)]
    found = connected_groups(examples)
    expected = _groups_by_spreading(names)
    for first in range(len(names)):
        for second in range(len(names)):
            together = expected[first] == expected[second]
            assert (found[first] == found[second]) == together, (names, found)


def test_a_chain_of_shared_names_is_one_group() -> None:
    chain = [("block 1", "same 1"), ("block 2", "same 1"), ("block 2", "same 2"), ("same 2",)]
    lonely = [("block 3",), ()]
    examples = [
        make_example(at, fractured=False, groups=own) for at, own in enumerate(chain + lonely)
    ]
    groups = connected_groups(examples)
    assert len(set(groups[:4])) == 1
    assert len(set(groups)) == 3


@pytest.mark.parametrize("seed", range(12))
def test_no_group_is_in_two_parts_and_every_example_is_in_one(seed: int) -> None:
    examples = _random_examples(seed)
    split = split_by_group(examples, seed)
    parts = _parts(split)
    assert sorted(index for part in parts for index in part) == list(range(len(examples)))
    assert all(parts)
    names = [{name for index in part for name in examples[index].groups} for part in parts]
    assert names[0].isdisjoint(names[1])
    assert names[0].isdisjoint(names[2])
    assert names[1].isdisjoint(names[2])
    numbers = [{split.groups[index] for index in part} for part in parts]
    assert sum(len(part) for part in numbers) == len(set(split.groups))


def test_the_same_seed_parts_the_same_whatever_the_groups_are_called() -> None:
    """Names are hashed, and Python hashes text differently in every process."""
    examples = _random_examples(3)
    renamed = [
        replace(example, groups=tuple(f"patient {name[::-1]}" for name in example.groups))
        for example in examples
    ]
    split = split_by_group(examples, 5)
    assert split_by_group(examples, 5) == split
    assert split_by_group(renamed, 5) == split
    assert len(split.digest) == 64


def test_another_seed_parts_differently_and_the_digest_tells() -> None:
    examples = _random_examples(3)
    digests = {split_by_group(examples, seed).digest for seed in range(4)}
    assert len(digests) == 4


def test_the_digest_tells_which_pictures_went_where() -> None:
    examples = _random_examples(3)
    split = split_by_group(examples, 5)
    examples[0] = replace(examples[0], path=examples[0].path.with_name("another.jpg"))
    other = split_by_group(examples, 5)
    assert _parts(other) == _parts(split)
    assert other.digest != split.digest


@pytest.mark.parametrize("fractured_groups", [0, 1, 5])
def test_too_few_groups_with_fractures_are_refused_with_their_number(
    fractured_groups: int,
) -> None:
    examples = [
        make_example(number, fractured=number < fractured_groups * 4, groups=(str(number // 4),))
        for number in range(60)
    ]
    with pytest.raises(DataError, match=f"^{fractured_groups} separate groups hold fractured"):
        split_by_group(examples, 1)


def test_data_without_an_unfractured_radiograph_are_refused() -> None:
    examples = [make_example(at, fractured=True, groups=(str(at),)) for at in range(30)]
    with pytest.raises(DataError, match=r"^0 separate groups hold other radiographs"):
        split_by_group(examples, 1)


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_few_uneven_groups_are_refused_or_leave_both_labels_in_every_part() -> None:
    refusals = []
    for seed in range(60):
        examples = _uneven_examples(seed)
        try:
            split = split_by_group(examples, 1)
        except DataError as refusal:
            refusals.append(str(refusal))
            continue
        for part in _parts(split):
            assert {examples[index].fractured for index in part} == {True, False}
    assert len(refusals) < 60
    assert any("part would hold only one of" in refusal for refusal in refusals)


def test_no_data_at_all_are_refused() -> None:
    with pytest.raises(DataError, match="0 separate groups"):
        split_by_group([], 1)


@pytest.fixture(scope="module")
def fracatlas() -> list[Example]:
    return read_fracatlas(SHARED_DATA / "fracatlas")


@needs_shared_data
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_the_parts_of_the_real_table_have_like_sizes_and_fracture_rates(
    fracatlas: list[Example], seed: int
) -> None:
    split = split_by_group(fracatlas, seed)
    overall = np.mean([example.fractured for example in fracatlas])
    for part, share in zip(_parts(split), (4 / 6, 1 / 6, 1 / 6), strict=True):
        rate = np.mean([fracatlas[index].fractured for index in part])
        assert rate == pytest.approx(overall, abs=0.02)
        assert len(part) / len(fracatlas) == pytest.approx(share, abs=0.03)


@needs_shared_data
def test_no_block_and_no_duplicate_of_the_real_table_is_in_two_parts(
    fracatlas: list[Example],
) -> None:
    part_of = dict[int, int]()
    for number, part in enumerate(_parts(split_by_group(fracatlas, 7))):
        part_of |= dict.fromkeys(part, number)
    assert len(part_of) == len(fracatlas)
    parts_by_name = defaultdict[str, set[int]](set)
    for index, example in enumerate(fracatlas):
        for name in example.groups:
            parts_by_name[name].add(part_of[index])
    assert {len(parts) for parts in parts_by_name.values()} == {1}
    duplicates = [name for name in parts_by_name if name.startswith("duplicates")]
    assert len(duplicates) < len(fracatlas)


def _parts(split: Split) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return split.train, split.validation, split.test


def _random_examples(seed: int) -> list[Example]:
    """150 examples in 40 blocks; some are duplicates of one in another block."""
    random = np.random.default_rng(seed)
    return [
        make_example(
            number,
            fractured=bool(random.random() < 0.4),
            groups=(
                f"block {random.integers(40)}",
                f"same {random.integers(8) if random.random() < 0.1 else number + 100}",
            ),
        )
        for number in range(150)
    ]


def _uneven_examples(seed: int) -> list[Example]:
    """Six to eight groups; each has few or many, fractured or not, by chance."""
    random = np.random.default_rng(seed)
    labels = [
        (group, fractured)
        for group in range(random.integers(6, 9))
        for fractured in (True, False)
        for _ in range(random.choice([0, 1, 2, 30], p=[0.1, 0.5, 0.2, 0.2]))
    ]
    return [
        make_example(number, fractured=fractured, groups=(f"group {group}",))
        for number, (group, fractured) in enumerate(labels)
    ]


def _groups_by_spreading(names: list[tuple[str, ...]]) -> list[int]:
    """The plain way: numbers spread to whoever shares a name, until nothing changes."""
    numbers = list(range(len(names)))
    changed = True
    while changed:
        changed = False
        for first, second in np.ndindex(len(names), len(names)):
            if set(names[first]) & set(names[second]) and numbers[first] > numbers[second]:
                numbers[first], changed = numbers[second], True
    return numbers
