"""The worst disagreements of a shadow and the champion, as pictures of what both see."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from db.outcomes import Grade
from db.shadow_scores import ShadowPair
from dicom_node.errors import DicomNodeError
from worker.overlay import OverlayCaption, as_rgb, render_overlay, render_radiograph
from worker.results import ClassifiedFrame, Source
from worker.screening import Screener

FOLDER, INDEX_FILE = "disagreements", "index.json"

_PICTURE_SIDE = 768


class NoPicture(Exception):
    """A view that cannot be drawn, with the reason."""


def write_disagreements(
    pairs: Sequence[ShadowPair],
    folder: Path,
    data_folder: Path,
    screener_of: Callable[[str], Screener | None],
    shadow_digest: str,
) -> int:
    """Champion's view left, shadow's right, one PNG each, and index.json.

    Args:
        screener_of: of a model digest; None where that model is not there any more.

    Returns:
        How many have no picture; the index says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    for number, pair in enumerate(pairs, start=1):
        name, reason = f"{number:02d}.png", ""
        digests = (pair.score.champion_digest, shadow_digest)
        try:
            views = [_view(pair, screener_of(digest), data_folder) for digest in digests]
            picture = cv2.cvtColor(_side_by_side(views), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / name), picture)
        except NoPicture as error:
            name, reason = "", str(error)
        study = pair.study_instance_uid
        told.append(
            {"picture": name, "reason": reason, "study_instance_uid": study, **asdict(pair.score)}
        )
    (folder / INDEX_FILE).write_text(json.dumps(told, indent=2) + "\n")
    return sum(bool(one["reason"]) for one in told)


def _view(pair: ShadowPair, screener: Screener | None, data_folder: Path) -> npt.NDArray[np.uint8]:
    """What one model sees. NoPicture: the model or the radiograph is gone."""
    if screener is None:
        raise NoPicture("the model is not there any more")
    uid, path = pair.score.sop_instance_uid, data_folder / pair.path
    try:
        looked = screener.look_at(Source(uid, "", pair.sha256, path))
    except (OSError, DicomNodeError):
        raise NoPicture("the radiograph is not in the spool any more") from None
    for frame in looked.frames:
        if frame.radiograph.frame_number == pair.score.frame_number:
            return _drawn(frame)
    raise NoPicture(looked.findings[0].reason or "the frame is not there any more")


def _drawn(frame: ClassifiedFrame) -> npt.NDArray[np.uint8]:
    prediction, pixels = frame.prediction, frame.radiograph.pixels
    if frame.grade is Grade.BELOW:
        return as_rgb(render_radiograph(pixels, _PICTURE_SIDE))
    model = prediction.model
    caption = OverlayCaption(model.name, model.version, frame.grade, prediction.probability)
    return render_overlay(pixels, frame.saliency.values, caption, _PICTURE_SIDE)


def _side_by_side(pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """On black, tops aligned: an unflagged view has no caption strip."""
    rows = max(len(picture) for picture in pictures)
    return np.hstack([np.pad(one, ((0, rows - len(one)), (0, 0), (0, 0))) for one in pictures])
