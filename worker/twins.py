"""Sources that are one exposure twice: the image for processing is left out for its twin's sake."""

from collections.abc import Sequence

import structlog

from dicom_node.sop_classes import DIGITAL_XRAY_FOR_PRESENTATION, DIGITAL_XRAY_FOR_PROCESSING
from dicom_node.twins import twins
from worker.results import Source, header_or_nothing

_log = structlog.get_logger(__name__)


def twin_positions(sources: Sequence[Source]) -> dict[int, int]:
    """Return where the twin of each source FOR PROCESSING stands that has one.

    Headers are read only where both kinds are there. A header that cannot be read has no twin.
    """
    unprocessed = _of_class(sources, DIGITAL_XRAY_FOR_PROCESSING)
    presented = _of_class(sources, DIGITAL_XRAY_FOR_PRESENTATION)
    if not (unprocessed and presented):
        return {}
    try:
        found = twins(
            {uid: header_or_nothing(sources[position]) for uid, position in unprocessed.items()},
            {uid: header_or_nothing(sources[position]) for uid, position in presented.items()},
        )
    except Exception as error:  # pydicom converts when a value is used and raises what it provokes
        _log.warning("twins_not_told", kind=type(error).__name__)
        return {}
    return {unprocessed[uid]: presented[twin] for uid, twin in found.items()}


def _of_class(sources: Sequence[Source], sop_class_uid: str) -> dict[str, int]:
    return {
        source.sop_instance_uid: position
        for position, source in enumerate(sources)
        if source.sop_class_uid == sop_class_uid and source.purged is None
    }
