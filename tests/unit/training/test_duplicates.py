"""Fingerprints and duplicates: the same picture is found however it was saved."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.radiograph import read_radiographs
from tests.paths import SHARED_DATA, needs_shared_data
from tests.radiographs import WG04
from tests.unit.training.drawn import Grey, draw, write_picture
from training.data.check import Duplicates
from training.data.duplicates import (
    MAXIMUM_DISTANCE,
    hash_pairs,
    near_duplicates,
    perceptual_hashes,
)
from training.data.example import Example
from training.data.fingerprints import (
    Broken,
    Fingerprint,
    file_sha256,
    fingerprint,
    fingerprint_all,
    fingerprint_readable,
)
from training.data.fracatlas import read_fracatlas
from training.errors import DataError


def jpeg(grey: Grey, quality: int) -> Grey:
    _, encoded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "saved as JPEG": lambda grey: jpeg(grey, 50),
    "at half size": lambda grey: cv2.resize(grey, None, fx=0.5, fy=0.5),  # type: ignore[return-value,call-overload]
    "brighter": lambda grey: np.clip(grey * 1.1 + 5, 0, 255).astype(np.uint8),
    "mirrored": lambda grey: grey[:, ::-1],
    "upside down": lambda grey: grey[::-1],
    "turned left": np.rot90,
    "turned right": lambda grey: np.rot90(grey, 3),
    "turned round": lambda grey: np.rot90(grey, 2),
    "mirrored, turned and saved as JPEG": lambda grey: jpeg(np.rot90(grey[:, ::-1]), 60),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_that_was_changed_is_a_near_duplicate_of_itself_and_of_no_other(
    change: str,
) -> None:
    others = [draw(seed) for seed in range(30)]
    changed = np.ascontiguousarray(CHANGES[change](others[7]))
    assert near_duplicates(thumbnails([*others, changed])) == [(7, 30)]


def test_blank_pictures_are_like_nothing() -> None:
    blank = [np.full((40, 30), grey, np.uint8) for grey in (0, 128, 255)]
    assert near_duplicates(thumbnails([draw(1), *blank])) == []


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_the_buckets_lose_no_pair_that_comparing_all_with_all_finds(seed: int, count: int) -> None:
    """Hashes near each other are made by flipping up to twelve bits of a few."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, 4, np.uint64)[random.integers(4, size=count)]
    for _ in range(12):
        bits = random.integers(0, 64, count, np.uint64)
        hashes = hashes ^ np.where(random.random(count) < 0.7, np.uint64(1) << bits, np.uint64(0))
    expected = [
        (i, j)
        for i, j in combinations(range(count), 2)
        if int(hashes[i] ^ hashes[j]).bit_count() <= MAXIMUM_DISTANCE
    ]
    assert [tuple(pair) for pair in hash_pairs(hashes, hashes).tolist()] == expected


def test_a_perceptual_hash_is_that_of_opencvs_cosine_transform() -> None:
    small = thumbnails([draw(seed) for seed in range(5)])
    for one, found in zip(small, perceptual_hashes(small), strict=True):
        low = cv2.dct(one.astype(np.float32))[:8, :8].reshape(-1)
        expected = np.packbits(low > np.median(low[1:]))
        assert int(found ^ expected.view(np.uint64)[0]).bit_count() <= 1


def test_equal_pixels_in_other_files_are_exact_duplicates_and_named_once(tmp_path: Path) -> None:
    """PNG and BMP of one picture, a copy of that, and another picture."""
    paths = [
        write_picture(tmp_path / name, draw(seed))
        for name, seed in (("a.png", 1), ("b.bmp", 1), ("c.png", 2), ("d.png", 1))
    ]
    found = fingerprint_readable([Example(path, False, ()) for path in paths])
    assert len({one.sha256 for one in found}) == 3
    duplicates = Duplicates.among(found)
    assert duplicates.exact == ((0, 1, 3),)
    assert duplicates.near == ()


def test_the_same_bytes_in_another_shape_are_not_the_same_pixels(tmp_path: Path) -> None:
    grey = draw(1, 40, 20)
    first = write_picture(tmp_path / "a.png", grey)
    second = write_picture(tmp_path / "b.png", grey.reshape(20, 40))
    one, other = (fingerprint(path, read_radiographs) for path in (first, second))
    assert one.pixel_sha256 != other.pixel_sha256


def test_what_cannot_be_read_is_told_in_its_place_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (tmp_path / "c.dcm").write_bytes(b"no DICOM")
    paths = [write_picture(tmp_path / "a.png"), *(tmp_path / name for name in ("b.jpg", "c.dcm"))]
    examples = [Example(path, False, ()) for path in (*paths, tmp_path / "missing.png")]
    ticks = []
    first, *broken = fingerprint_all(examples, lambda: ticks.append(1))
    assert isinstance(first, Fingerprint)
    assert (first.rows, first.columns, first.size_bytes) == (96, 80, paths[0].stat().st_size)
    assert first.sha256 == file_sha256(paths[0])
    assert len(ticks) == 4
    for one, name in zip(broken, ("b.jpg", "c.dcm", "missing.png"), strict=True):
        assert isinstance(one, Broken)
        assert name in one.reason
    with pytest.raises(DataError, match=r"b\.jpg"):
        fingerprint_readable(examples)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
def test_a_picture_that_was_cut_off_is_broken_and_not_half_grey(
    tmp_path: Path, suffix: str, kept: float
) -> None:
    path = write_picture(tmp_path / f"a.{suffix}", draw(1, 300, 200))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    (found,) = fingerprint_all([Example(path, False, ())])
    assert isinstance(found, Broken)


@needs_shared_data
def test_every_lossless_encoding_of_a_real_cr_image_has_the_same_pixels() -> None:
    examples = [
        Example(WG04 / f"RG3_{suffix}.dcm", False, ()) for suffix in ("UNC", "RLE", "JPLL", "JLSL")
    ]
    found = fingerprint_readable(examples)
    assert len({one.pixel_sha256 for one in found}) == 1
    assert len({one.sha256 for one in found}) == 4


@needs_shared_data
def test_the_duplicates_of_the_real_table_are_found_and_hardly_anything_else() -> None:
    """62 pairs are stated; the one more is a patient's hip, twice."""
    examples = read_fracatlas(SHARED_DATA / "fracatlas")
    duplicates = Duplicates.among(fingerprint_readable(examples))
    joined = duplicates.joined([Example(one.path, one.fractured, ()) for one in examples])
    stated = {one.groups[1]: set[int]() for one in examples}
    for row, one in enumerate(examples):
        stated[one.groups[1]].add(row)
    for rows in stated.values():
        if len(rows) > 1:
            assert all(joined[row].groups for row in rows)
    added = [
        pair
        for pair in duplicates.near
        if examples[pair[0]].groups[1] != examples[pair[1]].groups[1]
    ]
    assert len(added) <= 1


def thumbnails(pictures: list[Grey]) -> np.ndarray:
    return np.stack([cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA) for grey in pictures])
