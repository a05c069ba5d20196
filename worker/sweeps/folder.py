"""A folder of files as the place of a sweep: walked in order, read only, never held as a whole."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from pydicom import Dataset

from db.sweep_records import Candidate, SweepItem
from db.sweeps import Sweeps
from dicom_node.errors import SpoolError, UnreadableInstance
from dicom_node.file_intake import take_in
from dicom_node.header import read_header
from dicom_node.query import FoundSeries
from dicom_node.receiver import STATUS_OF_RECEIPT, Receipt, Receiver
from dicom_node.sop_classes import RADIOGRAPH_SOP_CLASSES
from dicom_node.stated_body_part import SiteWords, stated_value
from dicom_node.uids import derived_uid
from models.bundle import ModelBundle
from worker.sweeps.difference import (
    UNDER_WAY,
    Decision,
    Excluded,
    Fetch,
    ScreenAgain,
    wanted_series,
    what_to_do,
)
from worker.sweeps.folder_walk import walk
from worker.sweeps.places import Found
from worker.sweeps.selection import Selection

NOT_DICOM = "no DICOM instance"
DIRECTORY = "a DICOMDIR, not an instance"
NO_RADIOGRAPH = "no radiograph (CR, DX)"
OTHER_DAY = "another study date"
NOT_TAKEN = "could not be taken in"
SENDER = "FOLDER"

_STEP = 64
_TIME_FOR_A_STUDY = timedelta(minutes=10)
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_KEYWORDS = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "StudyDate",
    "Modality",
    "BodyPartExamined",
    "InstitutionName",
    "SeriesDescription",
    "ProtocolName",
    "StudyDescription",
)
_STORED = frozenset({STATUS_OF_RECEIPT[Receipt.ACCEPTED], STATUS_OF_RECEIPT[Receipt.DUPLICATE]})
_NO_ROOM = 0xA700


@dataclass(frozen=True, slots=True, eq=False)
class FolderFile:
    """A file of the folder; `excluded`: why it is not for the sweep, "" if it is.

    A file that is no instance has UIDs made of its place in the folder.
    """

    path: Path
    study_instance_uid: str
    sop_instance_uid: str
    header: Dataset
    excluded: str

    @property
    def is_instance(self) -> bool:
        """Whether it is one, and its UIDs are its own."""
        return self.excluded not in (NOT_DICOM, DIRECTORY)


class FolderPlace:
    """All files below a folder.

    A file that is none for the sweep is counted under its reason. What is for it is copied to the
    spool: the folder may be gone when it is screened.
    """

    name = ""
    parallel = 1
    studies_per_hour: int | None = None
    slow_answer_s = float("inf")

    def __init__(
        self,
        folder: Path,
        selection: Selection,
        sweep_id: int,
        sweeps: Sweeps,
        bundle: ModelBundle,
        receiver: Receiver,
        clock: Callable[[], datetime],
        site_words: SiteWords | None = None,
    ) -> None:
        """Walk nothing yet. `site_words` are the site's own words for body parts."""
        self._site_words = site_words
        self._folder, self._selection, self._sweep_id = folder, selection, sweep_id
        self._sweeps, self._bundle, self._receiver = sweeps, bundle, receiver
        self._clock = clock
        self._files: Iterator[Path] = iter(())
        self._cursor: str | None = None

    def search(self, cursor: str) -> Found:
        """Take in the next files. Raises OSError: the folder is away, or there is no room."""
        paths = self._next(cursor)
        reasons, studies = self._sorted_out(paths)
        for study, own in studies.items():
            if reason := self._take(study, own):
                reasons[study] = reason
        candidates = tuple(Candidate(study, reason) for study, reason in reasons.items())
        if paths:
            cursor = json.dumps(paths[-1].relative_to(self._folder).parts)
        self._cursor = cursor
        return Found(candidates, cursor, searched=len(paths) < _STEP)

    def plan(self) -> Iterator[Decision]:
        """Walk all of it; a study whose files lie far apart counts more than once."""
        walked = walk(self._folder)
        while paths := list(islice(walked, _STEP)):
            reasons, studies = self._sorted_out(paths)
            for study, own in studies.items():
                yield self._decide(study, own)
            yield from (Excluded(reason) for reason in reasons.values())

    def see_to(self, item: SweepItem) -> float:
        """One that a kill left half taken: its files came once more when the step was repeated."""
        known = self._sweeps.known(item.study_instance_uid)
        arrived = 0 if known is None else len(known.sop_instance_uids)
        self._sweeps.end_fetch(item.id, arrived, missing="" if arrived else NOT_TAKEN)
        return 0.0

    def _next(self, cursor: str) -> list[Path]:
        if not self._folder.is_dir():
            raise FileNotFoundError(f"{self._folder} is no folder, or cannot be read")
        if cursor != self._cursor:
            self._files = walk(self._folder, json.loads(cursor) if cursor else ())
        self._cursor = None  # until the step is done: a step that breaks is repeated
        return list(islice(self._files, _STEP))

    def _sorted_out(
        self, paths: Sequence[Path]
    ) -> tuple[dict[str, str], Mapping[str, list[FolderFile]]]:
        """Why studies are left out, and the files of those that are not, by study."""
        model_body_parts = self._bundle.body_parts
        files = [
            read_file(path, self._folder, self._selection, model_body_parts, self._site_words)
            for path in paths
        ]
        studies = _by_study(one for one in files if not one.excluded)
        reasons = {one.study_instance_uid: one.excluded for one in files if one.excluded}
        return {uid: why for uid, why in reasons.items() if uid not in studies}, studies

    def _decide(self, study: str, files: Sequence[FolderFile]) -> Decision:
        uids = [one.sop_instance_uid for one in files]
        return what_to_do(
            study,
            {"": uids},  # one series or several, it makes no difference here
            self._sweeps.known(study),
            self._bundle.identity,
            self._selection,
            self._sweep_id,
        )

    def _take(self, study: str, files: Sequence[FolderFile]) -> str:
        """Take in what the ledger lacks of a study; why nothing is to be done, "" if it was."""
        decision = self._decide(study, files)
        if isinstance(decision, Excluded):
            return decision.reason
        until = self._clock() + _TIME_FOR_A_STUDY
        item_id = self._sweeps.begin_files(self._sweep_id, study, until)
        if isinstance(decision, ScreenAgain):
            return "" if self._sweeps.screen_again(item_id) else UNDER_WAY
        missing = decision.missing if isinstance(decision, Fetch) else frozenset()
        wanted = (one for one in files if one.sop_instance_uid in missing)
        problems = [problem for one in wanted if (problem := self._take_in(one))]
        known = self._sweeps.known(study)
        arrived = 0 if known is None else len(known.sop_instance_uids)
        reasons = "; ".join(dict.fromkeys(problems))
        self._sweeps.end_fetch(item_id, arrived, missing=reasons, expected=arrived + len(problems))
        return ""

    def _take_in(self, file: FolderFile) -> str:
        try:
            answer = take_in(file.path, self._receiver, file.header, SENDER)
        except UnreadableInstance as error:
            return str(error)
        if answer.status == _NO_ROOM:
            raise SpoolError("no room, or no database, to take files in")
        return "" if answer.status in _STORED else f"{NOT_TAKEN}: {answer.error_comment}"


def read_file(
    path: Path,
    folder: Path,
    selection: Selection,
    model_body_parts: Collection[str],
    site_words: SiteWords | None = None,
) -> FolderFile:
    """What a file of a folder is, and whether it is for a sweep at all."""
    place = derived_uid("file of a folder", path.relative_to(folder).as_posix())
    try:
        header = read_header(path)
        stated = {keyword: str(header.get(keyword) or "").strip() for keyword in _KEYWORDS}
        stated["BodyPartExamined"] = stated_value(header)
    except Exception:  # no DICOM, or pydicom raises whatever a value provokes when it is used
        return FolderFile(path, place, place, Dataset(), NOT_DICOM)
    if stated["SOPClassUID"] == _MEDIA_DIRECTORY:
        return FolderFile(path, place, place, header, DIRECTORY)
    study, uid = stated["StudyInstanceUID"], stated["SOPInstanceUID"]
    if not study or not uid:
        return FolderFile(path, place, place, header, NOT_DICOM)
    reason = _why_not(stated, selection, model_body_parts, site_words)
    return FolderFile(path, study, uid, header, reason)


def _why_not(
    stated: Mapping[str, str],
    selection: Selection,
    model_body_parts: Collection[str],
    site_words: SiteWords | None,
) -> str:
    if stated["SOPClassUID"] not in RADIOGRAPH_SOP_CLASSES:
        return NO_RADIOGRAPH
    if not _is_of(stated["StudyDate"], selection):
        return OTHER_DAY
    series = FoundSeries(
        stated["SeriesInstanceUID"],
        stated["Modality"],
        stated["BodyPartExamined"],
        stated["InstitutionName"],
        f"{stated['SeriesDescription']} {stated['ProtocolName']}",
        stated["StudyDescription"],
    )
    decision = wanted_series([series], selection, model_body_parts, (), site_words)
    return decision.reason if isinstance(decision, Excluded) else ""


def _is_of(day: str, selection: Selection) -> bool:
    """A file that states no day may be of any."""
    first = f"{selection.first_day:%Y%m%d}" if selection.first_day else ""
    last = f"{selection.last_day:%Y%m%d}" if selection.last_day else "9"
    return not day or first <= day <= last


def _by_study(files: Iterable[FolderFile]) -> Mapping[str, list[FolderFile]]:
    studies: dict[str, list[FolderFile]] = defaultdict(list)
    for one in files:
        studies[one.study_instance_uid].append(one)
    return studies
