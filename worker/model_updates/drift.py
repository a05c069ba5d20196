"""Whether live radiographs still look like those that the model was made for: pure functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from db.measurements import Measurement
from models.reference import MEASURES, Histogram, histogram_of

FEWEST = 200
"""Analysed radiographs below which a stability index is mostly chance (about 9 / n by itself)."""
MOVED, MOVED_A_LOT = 0.1, 0.25
"""Usual limits of the population stability index."""
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one measure has moved from its reference."""

    stability_index: float
    ks: float

    @property
    def word(self) -> str:
        """In words."""
        if self.stability_index < MOVED:
            return "stable"
        return "moved" if self.stability_index < MOVED_A_LOT else "moved a lot"


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One group of radiographs; shares in [0, 1], None where there is nothing to share."""

    by: str
    """all, device, region, or device and region."""
    group: str
    radiographs: int
    analysed: int
    flagged_share: float | None
    not_analysed_share: float
    shifts: Mapping[str, Shift]
    """By measure; empty without a reference."""

    @property
    def too_few(self) -> bool:
        """Whether the shifts say little."""
        return self.analysed < FEWEST


def drift(found: Sequence[Measurement], reference: Mapping[str, Histogram]) -> list[DriftRow]:
    """All, then by device, by region, by both; the largest groups first."""
    rows = []
    for by, key in _GROUPINGS.items():
        groups: dict[str, list[Measurement]] = {}
        for one in found:
            groups.setdefault(key(one), []).append(one)
        largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        rows += [_row(by, name, members, reference) for name, members in largest]
    return rows


def reference_from(found: Sequence[Measurement]) -> dict[str, Histogram]:
    """An earlier period as the reference; empty with fewer than `FEWEST` analysed radiographs."""
    if sum(one.analysed for one in found) < FEWEST:
        return {}
    values = {name: _values(found, name) for name in MEASURES}
    return {name: histogram_of(numbers) for name, numbers in values.items() if numbers}


def _row(
    by: str, group: str, members: Sequence[Measurement], reference: Mapping[str, Histogram]
) -> DriftRow:
    analysed = [one for one in members if one.analysed]
    return DriftRow(
        by=by,
        group=group,
        radiographs=len(members),
        analysed=len(analysed),
        flagged_share=sum(one.flagged for one in analysed) / len(analysed) if analysed else None,
        not_analysed_share=1 - len(analysed) / len(members),
        shifts={
            name: Shift(histogram.stability_index(numbers), histogram.ks(numbers))
            for name, histogram in reference.items()
            if (numbers := _values(analysed, name))
        },
    )


def _values(found: Sequence[Measurement], measure: str) -> list[float]:
    values = (getattr(one, measure) for one in found)
    return [value for value in values if value is not None]


def _device(one: Measurement) -> str:
    return one.device or NOT_STATED


def _region(one: Measurement) -> str:
    return one.body_part_examined or NOT_STATED


_GROUPINGS: dict[str, Callable[[Measurement], str]] = {
    "all": lambda one: "",
    "device": _device,
    "region": _region,
    "device and region": lambda one: f"{_device(one)}, {_region(one)}",
}
