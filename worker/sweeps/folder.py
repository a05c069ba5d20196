"""A folder of files as the place of a sweep: walked in order, read only, never held as a whole."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from pydicom import Dataset

from db.states import StudyState
from db.sweeps import Candidate, KnownStudy, SweepItem, Sweeps
from dicom_node.errors import SpoolError, UnreadableInstance
from dicom_node.file_intake import take_in
from dicom_node.header import read_header
from dicom_node.receiver import STATUS_OF_RECEIPT, Receipt, Receiver
from dicom_node.sop_classes import RADIOGRAPH_SOP_CLASSES
from dicom_node.uids import derived_uid
from models.prediction import ModelIdentity
from worker.sweeps.difference import SCREENED, UNDER_WAY, why_not_again
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
        model: ModelIdentity,
        receiver: Receiver,
        clock: Callable[[], datetime],
    ) -> None:
        self._folder, self._selection, self._sweep_id = folder, selection, sweep_id
        self._sweeps, self._model, self._receiver = sweeps, model, receiver
        self._clock = clock
        self._files: Iterator[Path] = iter(())
        self._cursor: str | None = None

    def search(self, cursor: str) -> Found:
        """Take in the next files. Raises OSError: the folder is away, or there is no room."""
        paths = self._next(cursor)
        files = [read_file(path, self._folder, self._selection) for path in paths]
        reasons = {one.study_instance_uid: one.excluded for one in files if one.excluded}
        for study, own in _by_study(one for one in files if not one.excluded).items():
            reasons.pop(study, None)
            if reason := self._take(study, own):
                reasons[study] = reason
        candidates = tuple(Candidate(study, reason) for study, reason in reasons.items())
        if paths:
            cursor = json.dumps(paths[-1].relative_to(self._folder).parts)
        self._cursor = cursor
        return Found(candidates, cursor, searched=len(paths) < _STEP)

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

    def _take(self, study: str, files: Sequence[FolderFile]) -> str:
        """Take in what the ledger lacks of a study; why nothing is to be done, "" if it was."""
        known = self._sweeps.known(study)
        here = frozenset() if known is None else known.sop_instance_uids
        missing = [one for one in files if one.sop_instance_uid not in here]
        if not missing and (reason := self._why_not(known, files)):
            return reason
        item_id = self._sweeps.begin_files(self._sweep_id, study, self._until())
        if not missing and known is not None and known.sweep_id != self._sweep_id:
            return "" if self._sweeps.screen_again(item_id) else UNDER_WAY
        problems = [problem for one in missing if (problem := self._take_in(one))]
        known = self._sweeps.known(study)
        arrived = 0 if known is None else len(known.sop_instance_uids)
        reasons = "; ".join(dict.fromkeys(problems))
        self._sweeps.end_fetch(item_id, arrived, missing=reasons, expected=arrived + len(problems))
        return ""

    def _why_not(self, known: KnownStudy | None, files: Sequence[FolderFile]) -> str:
        """Of a study whose files are all here."""
        if known is None or known.sweep_id == self._sweep_id:
            return ""
        if known.state not in (StudyState.SCREENED, StudyState.FAILED):
            return UNDER_WAY
        if any(one.sop_instance_uid not in known.looked_at for one in files):
            return ""
        reason = why_not_again(known, self._model, self._selection)
        return SCREENED if reason and known.model_digest == self._model.digest else reason

    def _take_in(self, file: FolderFile) -> str:
        try:
            answer = take_in(file.path, self._receiver, file.header, SENDER)
        except UnreadableInstance as error:
            return str(error)
        if answer.Status == _NO_ROOM:
            raise SpoolError("no room, or no database, to take files in")
        return "" if answer.Status in _STORED else f"{NOT_TAKEN}: {answer.get('ErrorComment', '')}"

    def _until(self) -> datetime:
        return self._clock() + _TIME_FOR_A_STUDY


def read_file(path: Path, folder: Path, selection: Selection) -> FolderFile:
    """What a file of a folder is, and whether it is for a sweep at all."""
    place = derived_uid("file of a folder", path.relative_to(folder).as_posix())
    try:
        header = read_header(path)
        sop_class, study, uid, day = (
            str(header.get(keyword) or "")
            for keyword in ("SOPClassUID", "StudyInstanceUID", "SOPInstanceUID", "StudyDate")
        )
    except UnreadableInstance:
        return FolderFile(path, place, place, Dataset(), NOT_DICOM)
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return FolderFile(path, place, place, Dataset(), NOT_DICOM)
    if sop_class == _MEDIA_DIRECTORY:
        return FolderFile(path, place, place, header, DIRECTORY)
    if not study or not uid:
        return FolderFile(path, place, place, header, NOT_DICOM)
    if sop_class not in RADIOGRAPH_SOP_CLASSES:
        return FolderFile(path, study, uid, header, NO_RADIOGRAPH)
    return FolderFile(path, study, uid, header, "" if _is_of(day, selection) else OTHER_DAY)


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
