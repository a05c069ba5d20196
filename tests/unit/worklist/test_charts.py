"""Charts: the shapes say the values, nothing needs inline style, and every text is escaped."""

from collections.abc import Callable
from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring

import pytest
from markupsafe import Markup

from training.statistics.intervals import wilson as reference
from worklist.charts import Interval, Series, Told, axis, bars, intervals, stacked_bars, times
from worklist.intervals import wilson

TOLD = Told("it", "A <title>", "What & how many")
DAYS = ["1 Mar", "2 Mar", "3 Mar"]
NASTY = "<script>alert(1)</script>\x00\x1b\u202e & \"'"


def drawings(chart: Markup) -> list[Element]:
    """The SVG in its widths."""
    return list(fromstring(f"<all>{chart}</all>"))  # noqa: S314  # our own


CHARTS: dict[str, Callable[[str], Markup]] = {
    "stacked bars": lambda name: stacked_bars(TOLD, [name], [Series(name, "positive", [3])]),
    "times": lambda name: times(TOLD, [name], [Series(name, "median", [3])]),
    "intervals": lambda name: intervals(TOLD, [Interval(name, 0.5, 0.2, 0.8)]),
    "bars": lambda name: bars(TOLD, [(name, 4)], "not-analysed"),
}


@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_is_told_to_those_who_do_not_see_it(chart: str) -> None:
    ids = set()
    for svg in drawings(CHARTS[chart]("x")):
        title, description = svg[0], svg[1]
        assert (title.tag, title.text) == ("title", TOLD.title)
        assert (description.tag, description.text) == ("desc", TOLD.description)
        assert svg.get("role") == "img"
        assert svg.get("aria-labelledby") == title.get("id")
        assert svg.get("aria-describedby") == description.get("id")
        ids |= {title.get("id"), description.get("id")}
    assert len(ids) == 4


@pytest.mark.parametrize("chart", CHARTS)
def test_no_chart_has_style_script_or_event_of_its_own(chart: str) -> None:
    for svg in drawings(CHARTS[chart](NASTY)):
        for element in svg.iter():
            assert element.tag not in ("style", "script", "a", "foreignObject")
            assert not [name for name in element.attrib if name == "style" or name[:2] == "on"]


@pytest.mark.parametrize("chart", CHARTS)
def test_what_a_file_says_is_shown_as_text(chart: str) -> None:
    markup = CHARTS[chart](NASTY)
    assert "<script>" not in markup
    assert "\x00" not in markup
    shown = "".join(text for svg in drawings(markup) for text in svg.itertext())
    assert "<script>alert(1)" in shown


def test_bars_of_a_day_stand_on_each_other_in_proportion() -> None:
    series = [
        Series("positive", "positive", [1, 0, 4]),
        Series("doubtful", "doubtful", [2, 0, 4]),
    ]
    for svg in drawings(stacked_bars(TOLD, DAYS, series)):
        rectangles = list(svg.iter("rect"))
        assert len(rectangles) == 4
        lower, upper = rectangles[2], rectangles[3]
        heights = [float(one.get("height", 0)) for one in rectangles]
        assert heights[3] == pytest.approx(2 * heights[1], abs=0.2)
        top_of_lower = float(lower.get("y", 0))
        bottom_of_upper = float(upper.get("y", 0)) + heights[3]
        assert bottom_of_upper == pytest.approx(top_of_lower, abs=0.2)


def test_a_line_breaks_where_there_is_no_value() -> None:
    series = [Series("median", "median", [10, 20, None, 30, 40])]
    for svg in drawings(times(TOLD, ["a", "b", "c", "d", "e"], series)):
        assert len(list(svg.iter("polyline"))) == 2
        assert len(list(svg.iter("circle"))) == 4


@pytest.mark.parametrize("values", [[], [0], [0.2], [7, 7], [1e9], [0, 1e9], [3, 30_000]])
def test_times_of_every_size_stay_within_the_chart(values: list[float]) -> None:
    labels = [str(at) for at in range(len(values))]
    for svg in drawings(times(TOLD, labels, [Series("median", "median", values)])):
        height = float(svg.get("viewBox", "").split()[3])
        places = [float(one.get("cy", -1)) for one in svg.iter("circle")]
        assert len(places) == len(values)
        assert all(0 < place < height for place in places)


def test_an_interval_is_drawn_from_its_low_to_its_high_end() -> None:
    for svg in drawings(intervals(TOLD, [Interval("x", 0.5, 0.25, 0.75)])):
        (whisker,) = [one for one in svg.iter("line") if "whisker" in one.get("class", "")]
        (dot,) = svg.iter("circle")
        low, high = float(whisker.get("x1", 0)), float(whisker.get("x2", 0))
        width = float(svg.get("viewBox", "").split()[2])
        assert float(dot.get("cx", 0)) == pytest.approx((low + high) / 2, abs=0.1)
        assert high - low == pytest.approx((width - 16) / 2, abs=0.2)


def test_labels_of_ninety_days_do_not_touch() -> None:
    labels = [f"{day % 30} Nov" for day in range(90)]
    for svg in drawings(stacked_bars(TOLD, labels, [Series("positive", "positive", [1] * 90)])):
        places = [
            float(one.get("x", 0)) for one in svg.iter("text") if one.get("text-anchor") == "middle"
        ]
        assert len(places) >= 4
        assert min(b - a for a, b in pairwise(places)) >= 55


@pytest.mark.parametrize("highest", [0, 0.3, 1, 4, 7, 99, 100, 12345])
def test_an_axis_reaches_its_highest_value_in_few_steps(highest: float) -> None:
    values = axis(highest)
    assert values[0] == 0
    assert highest <= values[-1] <= max(1, 2 * highest)
    assert 2 <= len(values) <= 6


@pytest.mark.parametrize(("agreed", "count"), [(0, 5), (5, 5), (18, 20), (431, 1000)])
def test_the_interval_is_that_of_the_training(agreed: int, count: int) -> None:
    expected = reference(agreed, count)
    assert wilson(agreed, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_share_of_nothing_may_be_anything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
