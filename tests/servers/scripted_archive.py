"""An archive for queries and C-MOVE that answers as it is told, wrongly if need be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (
    DigitalXRayImageStorageForPresentation,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_node.instance import RemoteAE
from tests.radiographs import Phantom
from tests.servers.ports import free_port

FULL = 0xA700


@dataclass
class ScriptedArchive:
    """Holds phantoms; moves them to `destination` whatever AE title is asked for."""

    phantoms: Sequence[Phantom]
    destination: RemoteAE
    port: int = field(default_factory=free_port)
    ae_title: str = "ARCHIVE"
    most_answers: int = 1000
    """To one query; more are refused with 0xA700."""
    require_calling: Sequence[str] = ()
    moves: int = 0
    on_move: Callable[[int], str] = lambda number: ""
    """For the n-th C-MOVE: "", "unknown", "half", "lie" (says all, sends half), "abort"."""

    @property
    def remote(self) -> RemoteAE:
        return RemoteAE(self.ae_title, "127.0.0.1", self.port)

    def __enter__(self) -> "ScriptedArchive":
        self._headers = [dcmread(one.path) for one in self.phantoms]
        ae = AE(self.ae_title)
        ae.require_calling_aet = list(self.require_calling)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_MOVE, self._move),
        ]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        matches = [one for one in self._headers if _matches(one, query)]
        key = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}.get(
            query.QueryRetrieveLevel, "SOPInstanceUID"
        )
        answers = {one[key].value: one for one in matches}
        if query.QueryRetrieveLevel == "STUDY" and len(answers) > self.most_answers:
            yield FULL, None
            return
        for one in answers.values():
            answer = Dataset()
            for element in query:
                answer[element.tag] = one.get(element.tag) or element
            answer.QueryRetrieveLevel = query.QueryRetrieveLevel
            yield 0xFF00, answer

    def _move(self, event: Event) -> Iterator[object]:
        self.moves += 1
        told = self.on_move(self.moves)
        if told == "unknown":
            yield None, None
            return
        if told == "abort":
            event.assoc.abort()
            return
        matches = [one for one in self._headers if _matches(one, event.identifier)]
        sent = matches if not told else matches[: len(matches) // 2]
        context = build_context(DigitalXRayImageStorageForPresentation)
        yield (
            self.destination.host,
            self.destination.port,
            {
                "contexts": [context],
                "ae_title": self.destination.ae_title,
            },
        )
        yield len(sent) if told == "lie" else len(matches)
        for one in sent:
            yield 0xFF00, one
        if told == "half":
            failed = Dataset()
            failed.FailedSOPInstanceUIDList = [
                one.SOPInstanceUID for one in matches if one not in sent
            ]
            yield 0xA702, failed


def _matches(header: Dataset, query: Dataset) -> bool:
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        wanted = query.get(keyword)
        values = [wanted] if isinstance(wanted, str) else list(wanted or [])
        if wanted and header.get(keyword) not in values:
            return False
    for keyword in ("StudyDate", "StudyTime"):
        first, _, last = str(query.get(keyword) or "").partition("-")
        value = str(header.get(keyword))
        if first and not first <= value <= last:
            return False
    return True
