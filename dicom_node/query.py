"""What a remote AE has, asked by C-FIND (PS3.4 annex C), Study Root."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_node.errors import AssociationFailed, TooManyAnswers
from dicom_node.instance import RemoteAE
from dicom_node.remote_association import name_of, open_association
from dicom_node.retry_classes import TransportProblem

_SUCCESS = 0x0000
_PENDING = (0xFF00, 0xFF01)
_OUT_OF_RESOURCES = 0xA700
_MESSAGE_ID = 1
_UTF_8 = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Period:
    """From the first minute to the last one, both in it; without time zone, as DICOM's are."""

    first: datetime
    last: datetime

    @property
    def is_of_whole_days(self) -> bool:
        """Whether it begins and ends with a day."""
        return (self.first.hour, self.first.minute) == (0, 0) and (
            self.last.hour,
            self.last.minute,
        ) == (23, 59)


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study as the remote AE describes it; "" and () where it says nothing."""

    study_instance_uid: str
    study_date: str
    modalities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series likewise."""

    series_instance_uid: str
    modality: str
    body_part_examined: str
    """Upper-case, several values joined by a backslash."""
    institution_name: str
    description: str = ""
    study_description: str = ""
    """Known of a file alone: a query for series has no such key (PS3.4 C.6.2.1)."""


class Queries:
    """Asks on one association. Every method raises AssociationFailed where that goes wrong."""

    def __init__(self, association: Association, remote: RemoteAE, most_answers: int) -> None:
        self._association, self._remote = association, remote
        self._most_answers = most_answers

    def studies(self, period: Period, modality: str = "") -> list[FoundStudy]:
        """Studies of a period; one without a date is of none, one without time only of whole days.

        Args:
            modality: of one of its series at least; "": any. A remote AE may disregard it.

        Raises:
            TooManyAnswers: there are more than it, or we, take at a time; ask for less.
        """
        query = _query("STUDY", StudyDate=_days(period), StudyTime=_times(period))
        query.ModalitiesInStudy = modality
        query.StudyInstanceUID = ""
        return [
            FoundStudy(
                _text(answer, "StudyInstanceUID"),
                _text(answer, "StudyDate"),
                _texts(answer, "ModalitiesInStudy"),
            )
            for answer in self._ask(query)
        ]

    def series(self, study_instance_uid: str) -> list[FoundSeries]:
        """All series of a study."""
        query = _query("SERIES", StudyInstanceUID=study_instance_uid)
        for keyword in ("SeriesInstanceUID", "Modality", "BodyPartExamined", "InstitutionName"):
            setattr(query, keyword, "")
        query.SeriesDescription = ""
        return [
            FoundSeries(
                _text(answer, "SeriesInstanceUID"),
                _text(answer, "Modality"),
                "\\".join(_texts(answer, "BodyPartExamined")).upper(),
                _text(answer, "InstitutionName"),
                _text(answer, "SeriesDescription"),
            )
            for answer in self._ask(query)
        ]

    def instances(self, study_instance_uid: str, series_instance_uid: str) -> list[str]:
        """SOP Instance UIDs of a series."""
        query = _query(
            "IMAGE", StudyInstanceUID=study_instance_uid, SeriesInstanceUID=series_instance_uid
        )
        query.SOPInstanceUID = ""
        return [_text(answer, "SOPInstanceUID") for answer in self._ask(query)]

    def _ask(self, query: Dataset) -> Sequence[Dataset]:
        found: list[Dataset] = []
        remote = name_of(self._remote)
        if not self._association.is_established:
            raise AssociationFailed(f"{remote} ended the association early")
        model = StudyRootQueryRetrieveInformationModelFind
        for answer, identifier in self._association.send_c_find(query, model, _MESSAGE_ID):
            status = answer.get("Status")
            if status in _PENDING:
                found.append(identifier or Dataset())
                if len(found) == self._most_answers:
                    self._association.send_c_cancel(_MESSAGE_ID, query_model=model)
            elif len(found) >= self._most_answers:
                raise TooManyAnswers(f"{remote} has {self._most_answers} answers or more")
            elif status is None:
                raise AssociationFailed(
                    f"{remote} gave no answer to a query", TransportProblem.TIMED_OUT
                )
            elif status == _OUT_OF_RESOURCES:
                raise TooManyAnswers(f"{remote} cannot answer that much at a time (0xA700)")
            elif status != _SUCCESS:
                raise AssociationFailed(
                    f"{remote} refused a query with status 0x{status:04X}: check that it lets us "
                    "query",
                    TransportProblem.NOT_NEGOTIATED,
                )
        return found


@contextmanager
def querying(
    remote: RemoteAE, *, calling_ae_title: str, timeout_s: float = 30, most_answers: int = 100_000
) -> Iterator[Queries]:
    """An association for queries.

    Args:
        most_answers: as many or more to one query count as cut short, as some remote AEs cut them
            without a word.

    Raises:
        AssociationFailed: there is none to be had.
    """
    contexts = [(UID(StudyRootQueryRetrieveInformationModelFind), ImplicitVRLittleEndian)]
    with open_association(remote, calling_ae_title, contexts, timeout_s) as association:
        yield Queries(association, remote, most_answers)


def find_instances(
    remote: RemoteAE,
    series: Iterable[tuple[str, str]],
    *,
    calling_ae_title: str,
    timeout_s: float = 30,
) -> set[str]:
    """SOP Instance UIDs that `remote` has in each (study UID, series UID).

    One query per series at IMAGE level. Raises AssociationFailed where it cannot be asked.
    """
    with querying(remote, calling_ae_title=calling_ae_title, timeout_s=timeout_s) as queries:
        return {uid for each in dict.fromkeys(series) for uid in queries.instances(*each)}


def _query(level: str, **keys: str) -> Dataset:
    query = Dataset()
    query.SpecificCharacterSet = _UTF_8
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


def _days(period: Period) -> str:
    return f"{period.first:%Y%m%d}-{period.last:%Y%m%d}"


def _times(period: Period) -> str:
    """Of a part of one day (PS3.4 C.2.2.2.5); "": any."""
    return "" if period.is_of_whole_days else f"{period.first:%H%M}00-{period.last:%H%M}59"


def _text(answer: Dataset, keyword: str) -> str:
    """ "" for what is not there; the first of several values."""
    return next(iter(_texts(answer, keyword)), "")


def _texts(answer: Dataset, keyword: str) -> tuple[str, ...]:
    value = answer.get(keyword)
    if not value:
        return ()
    values = [value] if isinstance(value, str) else list(value)
    return tuple(str(each).strip() for each in values)
