"""What a sweep is to screen survives the ledger."""

from datetime import UTC, date, datetime

import pytest

from worker.sweeps.selection import Selection

EVERYTHING = Selection(
    first_day=date(2026, 1, 1),
    last_day=date(2026, 3, 4),
    modalities=("DX",),
    body_parts=("HAND",),
    institution="North",
    known_only=True,
    model_older_than="2.0",
    since=datetime(2026, 2, 1, tzinfo=UTC),
    only_negative=True,
    delivers=False,
    any_time=True,
)


@pytest.mark.parametrize("selection", [Selection(), EVERYTHING])
def test_a_selection_comes_back_as_it_was(selection: Selection) -> None:
    assert Selection.from_json(selection.to_json()) == selection


def test_only_what_differs_from_the_defaults_is_kept() -> None:
    assert Selection().to_json() == {}
    assert Selection(any_time=True).to_json() == {"any_time": True}


def test_what_a_newer_version_wrote_is_said_to_be() -> None:
    with pytest.raises(ValueError, match="a newer version wrote this sweep: colour"):
        Selection.from_json({"colour": "red"})
