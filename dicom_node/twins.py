"""Which image FOR PROCESSING has a twin FOR PRESENTATION: one exposure, sent in two images.

Consoles may send what the detector read (Presentation Intent Type (0008,0068) FOR PROCESSING,
PS3.3 C.8.11.1) beside the image that people read. In doubt two images are no twins, so that both
are looked at.
"""

from collections.abc import Iterator, Mapping

from pydicom import Dataset

from dicom_node.patient import text_of

_SAME_VIEW = ("ViewPosition", "ImageLaterality", "Laterality")
_SECONDS = len("hhmmss")
"""Digits of a time that tells exposures apart: two are easily made within one minute."""


def twins(
    for_processing: Mapping[str, Dataset], for_presentation: Mapping[str, Dataset]
) -> dict[str, str]:
    """Return the twin of each image FOR PROCESSING that has one: SOP Instance UIDs to UIDs.

    Twins are one image of each kind, of views and sides that don't contradict each other. The
    presented one names the other as its only Source Image (0008,2112), or both are of the same
    Irradiation Event UID (0008,3010), or of the same Acquisition Date and Time (to the second).

    Args:
        for_processing: headers of a study's images, by SOP Instance UID.
        for_presentation: the same.
    """
    unprocessed = {
        uid: {f"source {uid}", *_exposure(header)} for uid, header in for_processing.items()
    }
    presented = {
        uid: {*_only_source(header), *_exposure(header)} for uid, header in for_presentation.items()
    }
    found: dict[str, str] = {}
    for uid, exposure in unprocessed.items():
        others = [other for other, named in presented.items() if exposure & named]
        if len(others) == 1:
            same = [one for one, named in unprocessed.items() if named & presented[others[0]]]
            views = for_processing[uid], for_presentation[others[0]]
            if len(same) == 1 and _may_be_one_view(*views):
                found[uid] = others[0]
    return found


def _only_source(header: Dataset) -> Iterator[str]:
    items = header.get("SourceImageSequence") or []
    named = {text_of(item, "ReferencedSOPInstanceUID") for item in items}
    if len(named) == 1:
        yield f"source {min(named)}"


def _exposure(header: Dataset) -> Iterator[str]:
    if event := text_of(header, "IrradiationEventUID"):
        yield f"event {event}"
    date, time = text_of(header, "AcquisitionDate"), text_of(header, "AcquisitionTime")
    if date and len(time) >= _SECONDS:
        yield f"time {date} {time}"


def _may_be_one_view(one: Dataset, other: Dataset) -> bool:
    stated = ((text_of(one, word).upper(), text_of(other, word).upper()) for word in _SAME_VIEW)
    return all(left == right for left, right in stated if left and right)
