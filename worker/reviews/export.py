"""Reviewed radiographs as a labelled set for training, without patient data.

What leaves: grey 8-bit pictures without any header, labels, and hashes under a secret salt that
stays in the data folder. What is burned into a picture outside the blanked corners stays in it.
"""

import csv
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from db.records import purged_on
from db.reviews import NewReview, ReviewedInstance
from dicom_node.errors import DicomNodeError
from dicom_node.header import read_header
from dicom_node.radiograph import PixelLimits, Radiograph
from dicom_node.spool import sync_folder, write_file_durably
from worker.errors import NothingToDo
from worker.screening import ReadRadiographs

TABLE, PICTURES, NOTICE = "labels.csv", "images", "README.txt"
COLUMNS = ("path", "fractured", "patient", "study", "region", "boxes", "outcome")
"""Those that the layout `csv` of training reads, then what the reader said of our result."""

_SALT_BYTES = 32
_HASH_DIGITS = 16
_NOTICE = """\
Radiographs that were reviewed, as grey PNG without any header, and their labels (labels.csv).

Removed: all DICOM attributes; {corners} Radiographs that state burned-in annotation
(0028,0301) were left out. Names, patient and study are hashes under a salt that stays in the data
folder; patient is the same for all radiographs of one patient, so that no split parts them.
NOT removed: what is burned into a picture elsewhere. Look at every picture before this folder
leaves the house.
"""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Exported:
    """How many were written, and of the others how many for which reason."""

    written: int
    left_out: dict[str, int]


class LeftOut(Exception):
    """A review that gives no labelled picture, with the reason."""


def export_reviews(
    reviewed: Sequence[ReviewedInstance],
    out: Path,
    *,
    data_folder: Path,
    salt: bytes,
    read: ReadRadiographs,
    limits: PixelLimits,
    blank: float,
    on_review: Callable[[], None] = lambda: None,
) -> Exported:
    """Write `out`/images/*.png, labels.csv and README.txt.

    Args:
        blank: side of the blanked corners as a share of the shorter side, in [0, 0.5].

    Raises:
        NothingToDo: `out` holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise NothingToDo(f"{out} is not empty: name another folder with --out")
    (out / PICTURES).mkdir(parents=True)
    left_out: dict[str, int] = {}
    written = 0
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for one in reviewed:
            try:
                radiograph, header = _read(one, data_folder, read, limits)
                picture = _picture(radiograph, one.review, blank)
                table.writerow(_write(picture, radiograph, header, one, out, salt))
                written += 1
            except LeftOut as reason:
                left_out[str(reason)] = left_out.get(str(reason), 0) + 1
            on_review()
    (out / NOTICE).write_text(_NOTICE.format(corners=_told(blank)))
    return Exported(written, left_out)


def salt_in(data_folder: Path) -> bytes:
    """The secret of this installation, made at the first call: 32 random bytes, for us alone.

    Raises:
        NothingToDo: the file holds something else; pseudonyms made with it would be no secret.
    """
    path = data_folder / "reviews" / "salt"
    if not path.exists():
        _make_salt(path)
    salt = path.read_bytes()
    if len(salt) != _SALT_BYTES:
        raise NothingToDo(
            f"{path} has {len(salt)} bytes instead of {_SALT_BYTES}: restore it from a backup, or "
            "delete it for new pseudonyms, which will not match those of earlier exports"
        )
    return salt


def _make_salt(path: Path) -> None:
    """It appears whole; of two that make one, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f"unfinished-{secrets.token_hex(8)}")
    write_file_durably(unfinished, secrets.token_bytes(_SALT_BYTES))
    with suppress(FileExistsError):
        path.hardlink_to(unfinished)
    unfinished.unlink()
    sync_folder(path.parent)


def blank_corners(picture: Pixels, share: float) -> Pixels:
    """A copy whose corners, squares of `share` of the shorter side, are black."""
    side = round(share * min(picture.shape))
    blanked = picture.copy()
    if side:
        for rows in (slice(None, side), slice(-side, None)):
            for columns in (slice(None, side), slice(-side, None)):
                blanked[rows, columns] = 0
    return blanked


def _read(
    one: ReviewedInstance, data_folder: Path, read: ReadRadiographs, limits: PixelLimits
) -> tuple[Radiograph, Dataset]:
    if one.review.fractured is None:
        raise LeftOut("the reader left open whether it is fractured")
    if one.purged_at is not None:
        raise LeftOut(f"its file was {purged_on(one.purged_at)}")
    path = data_folder / one.path
    try:
        header = read_header(path)
        radiographs = read(path, limits=limits, scope=None)
    except (OSError, DicomNodeError):
        raise LeftOut("not in the spool any more, or not readable") from None
    if str(header.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        raise LeftOut("states burned-in annotation")
    if len(radiographs) != 1:
        raise LeftOut("has several frames: which one was reviewed is not known")
    return radiographs[0], header


def _picture(radiograph: Radiograph, review: NewReview, blank: float) -> Pixels:
    picture = np.rint(radiograph.pixels * np.float32(255)).astype(np.uint8)
    if _box_touches_corner(review, picture.shape, round(blank * min(picture.shape))):
        raise LeftOut("the fracture lies in a corner that is blanked")
    return blank_corners(picture, blank)


def _box_touches_corner(review: NewReview, shape: tuple[int, ...], side: int) -> bool:
    if not _box(review):
        return False
    left, top, width, height = _box(review)
    rows, columns = shape[:2]
    at_side = left < side or left + width > columns - side
    return at_side and (top < side or top + height > rows - side)


def _box(review: NewReview) -> tuple[int, ...]:
    """(left, top, width, height) in pixels; empty where the reader drew none."""
    sides = (review.box_left, review.box_top, review.box_width, review.box_height)
    return tuple(side for side in sides if side is not None)


def _write(
    picture: Pixels,
    radiograph: Radiograph,
    header: Dataset,
    one: ReviewedInstance,
    out: Path,
    salt: bytes,
) -> tuple[object, ...]:
    """Write the picture; return its line of the table."""
    review = one.review
    path = f"{PICTURES}/{_hash(salt, 'instance', review.sop_instance_uid)}.png"
    cv2.imwrite(str(out / path), picture)
    return (
        path,
        int(bool(review.fractured)),
        _patient(header, one, salt),
        _hash(salt, "study", one.study_instance_uid),
        radiograph.body_part_examined.lower(),
        " ".join(str(side) for side in _box(review)),
        str(review.outcome),
    )


def _patient(header: Dataset, one: ReviewedInstance, salt: bytes) -> str:
    """The same for all radiographs of a patient; of a study where no Patient ID is stated."""
    patient = str(header.get("PatientID") or "").strip()
    issuer = str(header.get("IssuerOfPatientID") or "").strip()
    if not patient:
        return _hash(salt, "study", one.study_instance_uid)
    return _hash(salt, "patient", f"{issuer}\0{patient}")


def _hash(salt: bytes, kind: str, value: str) -> str:
    """Keyed (RFC 2104): without the salt nobody can try out Patient IDs."""
    return hmac.new(salt, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def _told(blank: float) -> str:
    if not blank:
        return "the corners were NOT blanked."
    return f"the four corners were blanked ({100 * blank:g} % of the shorter side)."
