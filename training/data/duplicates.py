"""Which radiographs are the same picture: exactly, or re-encoded, rescaled, mirrored or turned.

Candidates come from a perceptual hash (pHash, Zauner 2010, "Implementation and Benchmarking of
Perceptual Image Hash Functions", section 3.2.1: the signs of low frequencies against their median),
and are confirmed by the correlation of thumbnails. docs/decisions.md has the figures: on limb
radiographs the hash alone is wrong far more often than right.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from training.data.fingerprints import THUMBNAIL_SIZE, Fingerprint

Thumbnails = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Pairs = npt.NDArray[np.int64]
Turn = Callable[[Thumbnails], Thumbnails]

MAXIMUM_DISTANCE = 8
"""Differing bits of 64 up to which two hashes make a candidate."""
MINIMUM_CORRELATION = 0.985
"""Pearson correlation of the thumbnails from which a candidate is a duplicate."""

_BANDS = MAXIMUM_DISTANCE + 1
_FREQUENCIES = 8
_DCT = dct(np.eye(THUMBNAIL_SIZE), type=2, norm="ortho", axis=0)[:_FREQUENCIES]
_BLOCK = 4_000_000


def exact_duplicates(fingerprints: Sequence[Fingerprint]) -> list[tuple[int, ...]]:
    """Indices of radiographs with the same pixels, where there are two or more."""
    found = defaultdict[str, list[int]](list)
    for index, one in enumerate(fingerprints):
        found[one.pixel_sha256].append(index)
    return [tuple(indices) for indices in found.values() if len(indices) > 1]


def near_duplicates(thumbnails: Thumbnails) -> list[tuple[int, int]]:
    """Pairs (i < j) of look-alikes among thumbnails (n, 32, 32), in all eight mirrored and turned
    positions.

    Give one of each set of exact duplicates only: a thousand equal ones are half a million pairs.
    """
    hashes = perceptual_hashes(thumbnails)
    found = set[tuple[int, int]]()
    for turn in _TURNS:
        turned = turn(thumbnails)
        candidates = hash_pairs(hashes, perceptual_hashes(turned))
        found.update(_confirmed(candidates, thumbnails, turned))
    return sorted(found)


def perceptual_hashes(thumbnails: Thumbnails) -> Hashes:
    """uint64 (n) of thumbnails (n, 32, 32): 8 × 8 lowest frequencies of the DCT, each a bit that
    says whether it exceeds their median (the constant term has no part in the median)."""
    frequencies = (_DCT @ thumbnails.astype(np.float64) @ _DCT.T).reshape(len(thumbnails), -1)
    median = np.median(frequencies[:, 1:], axis=1, keepdims=True)
    packed = np.packbits(frequencies > median, axis=1)
    return np.ascontiguousarray(packed).view(np.uint64).reshape(-1)


def hash_pairs(left: Hashes, right: Hashes) -> Pairs:
    """All (i, j), i < j, with at most MAXIMUM_DISTANCE bits between left[i] and right[j]; (m, 2).

    Two hashes that differ in k bits agree in one of k + 1 bands of bits, so only hashes that share
    a band are compared.
    """
    count = len(left)
    codes = [np.zeros(0, np.int64)]
    for band in range(_BANDS):
        mask = np.uint64(sum(1 << bit for bit in range(band, 64, _BANDS)))
        for rows, columns in _buckets(left & mask, right & mask):
            near = np.bitwise_count(left[rows, None] ^ right[columns]) <= MAXIMUM_DISTANCE
            i, j = np.nonzero(near & (rows[:, None] < columns))
            codes.append(rows[i] * count + columns[j])
    unique = np.unique(np.concatenate(codes))
    return np.stack([unique // count, unique % count], axis=1) if count else unique.reshape(0, 2)


def _buckets(left: Hashes, right: Hashes) -> Iterator[tuple[Pairs, Pairs]]:
    """Indices into both of equal values, in blocks of bounded size."""
    left_order, right_order = np.argsort(left, kind="stable"), np.argsort(right, kind="stable")
    values, starts = np.unique(left[left_order], return_index=True)
    first = np.searchsorted(right[right_order], values, "left")
    last = np.searchsorted(right[right_order], values, "right")
    for rows, begin, end in zip(np.split(left_order, starts[1:]), first, last, strict=True):
        columns = right_order[begin:end]
        for at in range(
            0, len(rows) if len(columns) else 0, step := 1 + _BLOCK // (1 + end - begin)
        ):
            yield rows[at : at + step], columns


def _confirmed(
    candidates: Pairs, thumbnails: Thumbnails, turned: Thumbnails
) -> Iterator[tuple[int, int]]:
    for at in range(0, len(candidates), 8192):
        pairs = candidates[at : at + 8192]
        first, second = _centred(thumbnails[pairs[:, 0]]), _centred(turned[pairs[:, 1]])
        alike = np.einsum("nk,nk->n", first, second) >= MINIMUM_CORRELATION
        yield from ((int(i), int(j)) for i, j in pairs[alike])


def _centred(thumbnails: Thumbnails) -> npt.NDArray[np.float32]:
    """Unit vectors (n, k) of mean zero; a blank thumbnail is all zero and so is like nothing."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0), np.float32)


def _turn(transposed: bool, down: int, across: int) -> Turn:
    def turn(thumbnails: Thumbnails) -> Thumbnails:
        turned = thumbnails.transpose(0, 2, 1) if transposed else thumbnails
        return turned[:, ::down, ::across]

    return turn


_TURNS = tuple(
    _turn(transposed, down, across)
    for transposed in (False, True)
    for down in (1, -1)
    for across in (1, -1)
)
"""The eight symmetries of a square; the first leaves all as it is."""
