"""Drawn radiographs and saliency overlays."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.outcomes import Grade
from worker.overlay import (
    NARROWEST_CANVAS,
    OverlayCaption,
    as_rgb,
    reduced,
    render_map,
    render_overlay,
    render_radiograph,
    rendered_shape,
)

CAPTION = OverlayCaption("hand-map", "1.2.0", Grade.LIKELY, 0.87, "HAND")


def radiograph(rows: int = 600, columns: int = 520) -> Any:
    return np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)


def test_grey_is_the_pixel_times_255() -> None:
    picture = render_radiograph(radiograph())
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, np.rint(radiograph() * 255))


def test_a_map_of_zeros_leaves_every_pixel_of_the_radiograph_as_it_was() -> None:
    pixels = radiograph()
    overlay = render_overlay(pixels, np.zeros((12, 10), np.float32), CAPTION)
    assert np.array_equal(overlay[:600, :520], as_rgb(render_radiograph(pixels)))


def test_only_the_neighbourhood_of_attention_is_coloured() -> None:
    pixels = radiograph()
    saliency = np.zeros((12, 10), np.float32)
    saliency[3, 7] = 1.0
    overlay = render_overlay(pixels, saliency, CAPTION)[:600, :520].astype(int)
    changed = (overlay != as_rgb(render_radiograph(pixels))).any(axis=2)
    assert changed[3 * 50 + 25, 7 * 52 + 26]
    assert not changed[:100].any()
    assert not changed[250:].any()
    assert not changed[:, : 6 * 52].any()


def test_colour_is_laid_over_the_grey_in_proportion_to_the_map() -> None:
    grey, weights = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    drawn = render_map(grey, weights.astype(np.float32) / 255)
    colours = cv2.applyColorMap(weights, cv2.COLORMAP_PLASMA)[:, :, ::-1].astype(float)
    opacity = weights[:, :, None] * (0.55 / 255)
    expected = grey[:, :, None] * (1 - opacity) + colours * opacity
    assert np.abs(drawn - expected).max() < 1.6
    assert np.array_equal(drawn[0], as_rgb(grey)[0])


@pytest.mark.parametrize("side", [1024, 1000, 500, 256])
def test_a_reduced_picture_is_the_mean_of_what_it_covers(side: int) -> None:
    rows, columns = np.mgrid[0:1501, 0:1203]
    grey = (127 + 60 * np.sin(rows / 150) + 60 * np.cos(columns / 120)).astype(np.uint8)
    small = reduced(grey, side)
    expected = cv2.resize(grey, small.shape[::-1], interpolation=cv2.INTER_AREA)
    assert small.shape == (side, round(1203 * side / 1501))
    assert np.abs(small.astype(int) - expected).max() <= 3
    noise = np.random.default_rng(1).integers(0, 256, (1500, 1200), np.uint8)
    assert reduced(noise, side).mean() == pytest.approx(noise.mean(), abs=1)
    assert np.array_equal(reduced(grey, 1501), grey)


def test_no_bright_line_of_one_pixel_is_lost_in_a_reduced_picture() -> None:
    for row in range(100, 140):
        grey = np.zeros((2000, 1600), np.uint8)
        grey[row] = 255
        assert reduced(grey, 1024)[:, 500].max() > 50


def test_a_faint_map_stays_faint() -> None:
    pixels = np.full((600, 520), 0.5, np.float32)
    grey = as_rgb(render_radiograph(pixels)).astype(int)

    def strongest_change(value: float) -> int:
        saliency = np.full((4, 4), value, np.float32)
        drawn = render_overlay(pixels, saliency, CAPTION)[:600, :520].astype(int)
        return int(np.abs(drawn - grey).max())

    assert 0 < strongest_change(0.1) < strongest_change(0.4) < strongest_change(1.0)
    assert strongest_change(0.1) < 15


def test_the_caption_lies_below_the_radiograph_and_is_not_empty() -> None:
    overlay = render_overlay(radiograph(), np.zeros((600, 520), np.float32), CAPTION)
    strip = overlay[600:]
    assert strip.shape[0] > 80
    assert (strip > 200).sum() > 1000
    assert (strip.max(axis=2).astype(int) - strip.min(axis=2) > 60).any(), "no colour bar"


@pytest.mark.parametrize("shape", [(40, 30), (2000, 90), (90, 2000), (3000, 2500), (1, 1)])
def test_every_size_is_drawn_with_a_caption_that_fits(shape: tuple[int, int]) -> None:
    caption = OverlayCaption("m" * 90, "1 Å\n2", Grade.POSSIBLE, 0.5)
    overlay = render_overlay(np.zeros(shape, np.float32), np.ones((2, 2), np.float32), caption)
    rows, columns = rendered_shape(*shape)
    assert max(rows, columns) <= 2048
    assert overlay.shape[1] == max(columns, NARROWEST_CANVAS)
    strip = overlay[rows:]
    assert (strip[:, -3:] < 60).all(), "text is cut at the right"
    assert (strip[-3:] < 60).all(), "text is cut at the bottom"


@settings(max_examples=60)
@given(st.integers(1, 6000), st.integers(1, 6000), st.integers(300, 2048))
def test_the_rendered_shape_keeps_the_ratio_and_the_limit(
    rows: int, columns: int, longest_side: int
) -> None:
    height, width = rendered_shape(rows, columns, longest_side)
    assert max(height, width) <= longest_side
    assert abs(height * columns - width * rows) <= max(rows, columns)


def test_values_outside_the_unit_range_are_refused_with_the_range_found() -> None:
    saliency = np.array([[0.0, 1.5]], np.float32)
    with pytest.raises(ValueError, match=r"saliency spans 0 to 1\.5"):
        render_overlay(radiograph(), saliency, CAPTION)
    with pytest.raises(ValueError, match="pixels spans nan"):
        render_radiograph(np.array([[np.nan]], np.float32))
    with pytest.raises(ValueError, match=r"shape \(2, 2, 3\)"):
        render_radiograph(np.zeros((2, 2, 3), np.float32))


def test_a_caption_that_cannot_be_true_is_refused() -> None:
    for caption in (
        OverlayCaption("m", "1", Grade.BELOW, 0.5),
        OverlayCaption("m", "1", Grade.LIKELY, 1.2),
    ):
        with pytest.raises(ValueError, match=r"below both|1\.2"):
            render_overlay(radiograph(), np.zeros((1, 1), np.float32), caption)
