"""Charts as inline SVG, made on the server: plain values in, markup out.

Shapes carry classes only; colours and type come from the style sheet. Every chart has a title and a
description for those who do not see it, and pages put the same values beside it as a table. Each
comes in two widths, of which the style sheet shows one, so that letters stay letters on a phone.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

WIDE, NARROW = 720, 340
"""User units, which are CSS pixels as long as there is room."""
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 220, 52, 8, 10, 26
_ROW, _ROW_TEXT, _ROW_MARK = 44, 16, 30
_LETTER = 7.2
"""Width of a letter at 13 px, on average."""
_ROUND_TIMES = (
    *((seconds, f"{seconds} s") for seconds in (1, 3, 10, 30)),
    *((60 * minutes, f"{minutes} min") for minutes in (1, 3, 10, 30)),
    *((3600 * hours, f"{hours} h") for hours in (1, 3, 10)),
    *((86400 * days, f"{days} d") for days in (1, 3, 10, 30)),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Series:
    """Values under one name, one per label; None: there is none."""

    name: str
    style: str
    """Class of its shapes."""
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Told:
    """What a chart is called and says, for those who do not see it; `id` is unique on its page."""

    id: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its interval, all in [0, 1]."""

    label: str
    value: float
    low: float
    high: float
    style: str = ""


def stacked_bars(told: Told, labels: Sequence[str], series: Sequence[Series]) -> Markup:
    """A bar per label, the series on top of each other, the first one lowest."""
    totals = [sum(one.values[at] or 0 for one in series) for at in range(len(labels))]

    def draw(plot: "_Plot") -> None:
        for at, label in enumerate(labels):
            bar = SubElement(plot.root, "g")
            parts = ", ".join(f"{one.values[at] or 0:g} {one.name}" for one in series)
            _text(bar, "title", f"{label}: {parts}")
            base = 0.0
            for one in series:
                value = one.values[at] or 0
                if value:
                    plot.bar(bar, at, base, base + value, one.style)
                base += value

    return _in_both_widths(told, labels, _Counts(max(totals, default=0)), draw)


def times(told: Told, labels: Sequence[str], series: Sequence[Series]) -> Markup:
    """A line per series of seconds, on a logarithmic axis, broken where there is no value."""
    known = [value for one in series for value in one.values if value is not None]

    def draw(plot: "_Plot") -> None:
        for one in series:
            for run in _runs(one.values):
                path = " ".join(f"{plot.x(at):.1f},{plot.y(value):.1f}" for at, value in run)
                SubElement(plot.root, "polyline", points=path).set("class", f"line {one.style}")
            for at, value in enumerate(one.values):
                if value is not None:
                    dot = plot.dot(at, value, one.style)
                    _text(dot, "title", f"{labels[at]}: {one.name} {value:.3g} s")

    return _in_both_widths(told, labels, _Times(known), draw)


def intervals(told: Told, rows: Sequence[Interval]) -> Markup:
    """A row per share: a dot on its interval, on an axis from 0 to 100 %."""

    def draw(root: Element, width: int, at: int) -> None:
        row, y = rows[at], at * _ROW + _ROW_MARK

        def x(share: float) -> float:
            return 8 + share * (width - 16)

        _line(root, x(0), y, x(1), y, "grid")
        for share in (0, 0.25, 0.5, 0.75, 1):
            _line(root, x(share), y - 4, x(share), y + 4, "grid")
        _line(root, x(row.low), y, x(row.high), y, f"whisker {row.style}")
        place = {"cx": f"{x(row.value):.1f}", "cy": str(y)}
        SubElement(root, "circle", place, r="5").set("class", f"dot {row.style}".strip())
        if at == len(rows) - 1:
            for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
                _label(root, x(share), y + 20, f"{share:.0%}", anchor)

    return _rows(told, [row.label for row in rows], draw)


def bars(told: Told, rows: Sequence[tuple[str, float]], style: str) -> Markup:
    """A horizontal bar per (label, value), its label above it."""
    highest = max((value for _, value in rows), default=0) or 1

    def draw(root: Element, width: int, at: int) -> None:
        length = rows[at][1] / highest * (width - 2)
        _rectangle(root, 1, at * _ROW + _ROW_MARK - 7, max(length, 1), 12, style)

    return _rows(told, [label for label, _ in rows], draw)


def axis(highest: float) -> list[float]:
    """Round values from 0 to `highest` or just above, four to six of them."""
    if highest <= 0:
        return [0, 1]
    rough = highest / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 2.5, 5, 10) if power * one >= rough)
    return [step * at for at in range(math.ceil(highest / step - 1e-9) + 1)]


class _Counts:
    """An axis from 0."""

    def __init__(self, highest: float) -> None:
        values = axis(highest)
        self.ticks = [(value, f"{value:g}") for value in values]
        self._highest = values[-1]

    def share(self, value: float) -> float:
        return value / self._highest


class _Times:
    """A logarithmic axis of seconds, from a round time to a round time."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values, default=1), max(values, default=60)
        rounds = [seconds for seconds, _ in _ROUND_TIMES]
        first = max(at for at, one in enumerate(rounds) if one <= max(low, rounds[0]))
        last = min(at for at, one in enumerate(rounds) if one >= min(high, rounds[-1]))
        last = max(last, first + 1) if first + 1 < len(rounds) else last
        self.ticks = _ROUND_TIMES[min(first, last - 1) : last + 1]
        self._low = math.log(self.ticks[0][0])
        self._span = math.log(self.ticks[-1][0]) - self._low

    def share(self, value: float) -> float:
        place = (math.log(max(value, 1e-9)) - self._low) / self._span
        return min(1.0, max(0.0, place))


class _Plot:
    """The rectangle between the axes."""

    def __init__(self, root: Element, width: int, count: int, scale: _Counts | _Times) -> None:
        self.root = root
        self._scale = scale
        self._count = max(count, 1)
        self._step = (width - _LEFT - _RIGHT) / self._count

    def x(self, at: int) -> float:
        """Middle of a label's place."""
        return _LEFT + (at + 0.5) * self._step

    def y(self, value: float) -> float:
        """Of a value."""
        return _HEIGHT - _BOTTOM - self._scale.share(value) * (_HEIGHT - _TOP - _BOTTOM)

    def bar(self, group: Element, at: int, low: float, high: float, style: str) -> None:
        thick = max(1.0, min(self._step * 0.8, 48))
        top = self.y(high)
        _rectangle(group, self.x(at) - thick / 2, top, thick, self.y(low) - top, style)

    def dot(self, at: int, value: float, style: str) -> Element:
        place = {"cx": f"{self.x(at):.1f}", "cy": f"{self.y(value):.1f}"}
        radius = "3" if self._step >= 8 else "1.5"
        dot = SubElement(self.root, "circle", place, r=radius)
        dot.set("class", f"dot {style}")
        return dot

    def every(self) -> int:
        """Each how many-th label has room."""
        return max(1, math.ceil(58 / self._step))


def _in_both_widths(
    told: Told,
    labels: Sequence[str],
    scale: _Counts | _Times,
    draw: Callable[[_Plot], None],
) -> Markup:
    def one(width: int) -> Element:
        root = _root(told, width, _HEIGHT)
        plot = _Plot(root, width, len(labels), scale)
        for tick, name in scale.ticks:
            _line(root, _LEFT, plot.y(tick), width - _RIGHT, plot.y(tick), "grid")
            _label(root, _LEFT - 6, plot.y(tick) + 4, name, "end")
        first = plot.every() // 2
        for at in range(first, len(labels), plot.every()):
            _label(root, plot.x(at), _HEIGHT - _BOTTOM + 18, labels[at], "middle")
        draw(plot)
        return root

    return _both(one)


def _rows(told: Told, labels: Sequence[str], draw: Callable[[Element, int, int], None]) -> Markup:
    def one(width: int) -> Element:
        root = _root(told, width, max(1, len(labels)) * _ROW + 10)
        for at, label in enumerate(labels):
            draw(root, width, at)
            _label(root, 1, at * _ROW + _ROW_TEXT, _cut(label, width), "start")
        return root

    return _both(one)


def _both(one: Callable[[int], Element]) -> Markup:
    # Made of elements, so everything in them is escaped.
    drawn = [tostring(one(width), encoding="unicode") for width in (WIDE, NARROW)]
    return Markup("".join(drawn))  # noqa: S704


def _root(told: Told, width: int, height: int) -> Element:
    root = Element("svg", viewBox=f"0 0 {width} {height}", role="img")
    name = "wide" if width == WIDE else "narrow"
    root.set("class", f"chart {name}")
    title, description = f"{told.id}-{name}-title", f"{told.id}-{name}-description"
    root.set("aria-labelledby", title)
    root.set("aria-describedby", description)
    _text(root, "title", told.title).set("id", title)
    _text(root, "desc", told.description).set("id", description)
    return root


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    run: list[tuple[int, float]] = []
    for at, value in enumerate(values):
        if value is not None:
            run.append((at, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _rectangle(
    parent: Element, x: float, y: float, width: float, height: float, style: str
) -> None:
    sizes = {"x": x, "y": y, "width": width, "height": height}
    place = {name: f"{value:.1f}" for name, value in sizes.items()}
    SubElement(parent, "rect", place).set("class", f"bar {style}")


def _line(parent: Element, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    place = {name: f"{value:.1f}" for name, value in ends.items()}
    SubElement(parent, "line", place).set("class", style.strip())


def _label(parent: Element, x: float, y: float, text: str, anchor: str) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    SubElement(parent, "text", place).text = _clean(text)


def _text(parent: Element, tag: str, text: str) -> Element:
    element = SubElement(parent, tag)
    element.text = _clean(text)
    return element


def _cut(text: str, width: int) -> str:
    most = int(width / _LETTER)
    return text if len(text) <= most else text[: most - 1] + "…"


def _clean(text: str) -> str:
    """Without what no document may hold."""
    return _CONTROL.sub("\ufffd", text)
