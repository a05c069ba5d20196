"""How objects go out, by kind of destination: DICOM, HL7 over MLLP, HTTPS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from dicom_node.retry_classes import TransportProblem
from dicom_node.storage_scu import StoreResult, send_instances
from worker.destinations import remote_of
from worker.settings import DeliverySettings, Destination, Hl7Receiver, Settings, WebhookReceiver
from worklist.flags.answers import Answer, no_answer
from worklist.flags.content import control_id
from worklist.flags.mllp import MllpRemote, Outgoing, send_messages
from worklist.flags.webhook import Post, WebhookRemote, send_posts


@dataclass(frozen=True, slots=True)
class Parcel:
    """One object, by its UID, and where its bytes lie."""

    uid: str
    path: Path


OnAnswer = Callable[[Parcel, Answer], None]


class Sender(Protocol):
    """One destination, as the settings describe it."""

    @property
    def timeout_s(self) -> float:
        """Seconds that one answer may take."""

    @property
    def per_minute(self) -> int | None:
        """Objects within a minute from which on others wait; None: no limit."""

    @property
    def is_asked(self) -> bool:
        """Whether it is asked afterwards to confirm that it keeps what it took."""

    def send(self, parcels: Sequence[Parcel], budget_s: float, on_answer: OnAnswer) -> list[Answer]:
        """Send all on one association or connection; one answer each.

        `on_answer` gets each as soon as it is known. None is begun after `budget_s`.
        """


def make_senders(settings: Settings, clock: Callable[[], datetime]) -> dict[str, Sender]:
    """Of every destination in the settings, by its name."""
    senders: dict[str, Sender] = {}
    for destination in settings.destinations:
        senders[destination.name] = DicomSender(destination, settings.delivery)
    for receiver in settings.hl7:
        senders[receiver.name] = Hl7Sender(receiver)
    for hook in settings.webhooks:
        senders[hook.name] = WebhookSender(hook, clock)
    return senders


class DicomSender:
    """C-STORE to a remote AE."""

    per_minute: int | None = None

    def __init__(self, destination: Destination, settings: DeliverySettings) -> None:
        self._destination, self._settings = destination, settings
        self.timeout_s = settings.timeout_s
        self.is_asked = destination.commitment or destination.read_back

    def send(self, parcels: Sequence[Parcel], budget_s: float, on_answer: OnAnswer) -> list[Answer]:
        """See `Sender`."""
        waiting = iter(parcels)
        results = send_instances(
            remote_of(self._destination),
            [parcel.path for parcel in parcels],
            calling_ae_title=self._destination.calling_ae_title or self._settings.calling_ae_title,
            timeout_s=self.timeout_s,
            budget_s=budget_s,
            on_result=lambda result: on_answer(next(waiting), _answer_of(result)),
        )
        return [_answer_of(result) for result in results]


class Hl7Sender:
    """HL7 messages over MLLP."""

    is_asked = False

    def __init__(self, receiver: Hl7Receiver) -> None:
        self._remote = MllpRemote(receiver.host, receiver.port, receiver.outbound_tls)
        self.timeout_s = receiver.timeout_s
        self.per_minute: int | None = receiver.messages_per_minute

    def send(self, parcels: Sequence[Parcel], budget_s: float, on_answer: OnAnswer) -> list[Answer]:
        """See `Sender`."""
        readable, answers = _read(parcels, on_answer)
        if readable:
            waiting = iter(readable)
            answers += send_messages(
                self._remote,
                [Outgoing(control_id(one.uid), content) for one, content in readable.items()],
                timeout_s=self.timeout_s,
                budget_s=budget_s,
                on_answer=lambda answer: on_answer(next(waiting), answer),
            )
        return answers


class WebhookSender:
    """Signed HTTPS requests."""

    is_asked = False

    def __init__(self, receiver: WebhookReceiver, clock: Callable[[], datetime]) -> None:
        self._remote = WebhookRemote(
            receiver.url,
            receiver.secret_file,
            receiver.tls_ca_file,
            receiver.tls_certificate_file,
            receiver.tls_key_file,
        )
        self._clock = clock
        self.timeout_s = receiver.timeout_s
        self.per_minute: int | None = receiver.messages_per_minute

    def send(self, parcels: Sequence[Parcel], budget_s: float, on_answer: OnAnswer) -> list[Answer]:
        """See `Sender`."""
        readable, answers = _read(parcels, on_answer)
        if readable:
            waiting = iter(readable)
            answers += send_posts(
                self._remote,
                [Post(one.uid, content) for one, content in readable.items()],
                timeout_s=self.timeout_s,
                now=self._clock,
                budget_s=budget_s,
                on_answer=lambda answer: on_answer(next(waiting), answer),
            )
        return answers


def _answer_of(result: StoreResult) -> Answer:
    return Answer(result.status, result.retry_class, result.error, result.problem)


def _read(
    parcels: Sequence[Parcel], on_answer: OnAnswer
) -> tuple[dict[Parcel, bytes], list[Answer]]:
    """The messages' bytes; the answers of those that cannot be read are told already."""
    readable: dict[Parcel, bytes] = {}
    answers: list[Answer] = []
    for parcel in parcels:
        try:
            readable[parcel] = parcel.path.read_bytes()
        except OSError as error:
            told = f"cannot read {parcel.path.name}: {error.strerror or error}"
            answers.append(no_answer(TransportProblem.UNREADABLE_FILE, told))
            on_answer(parcel, answers[-1])
    return readable, answers
