"""[[sources]]: PACS that sweeps search and fetch from."""

from enum import StrEnum

from pydantic import Field

from dicom_node.instance import RemoteAE
from worker.settings.fields import AETitle, Port, PositiveSeconds
from worker.settings.remote import RemoteSettings


class Retrieval(StrEnum):
    """How instances are fetched (PS3.4 annex C)."""

    MOVE = "move"
    """C-MOVE: the PACS sends them to our listener, which it must know."""
    GET = "get"
    """C-GET: they come on the association that we open."""


class SourceSettings(RemoteSettings):
    """A PACS that may be searched by C-FIND (Study Root) and fetched from."""

    host: str = Field(min_length=1, description="Its host name or address.")
    port: Port = Field(description="Its TCP port.")
    calling_ae_title: AETitle | None = Field(
        None, description="AE title to call it with; none: delivery.calling_ae_title."
    )
    retrieval: Retrieval = Field(
        Retrieval.MOVE,
        description="move: it sends to our listener (listener.ae_title, which it must know); "
        "get: it sends on our own association.",
    )
    most_answers: int = Field(
        500,
        ge=2,
        description="Answers to one query from which on they count as cut short, and a shorter "
        "period is asked for; at most what the PACS gives.",
    )
    timeout_s: PositiveSeconds = Field(
        120.0, description="Seconds to wait for its next answer while it searches or sends."
    )
    parallel: int = Field(2, ge=1, le=16, description="Studies fetched at the same time.")
    studies_per_hour: int = Field(600, ge=1, description="Studies taken from it within an hour.")
    slow_answer_s: PositiveSeconds = Field(
        5.0,
        description="Seconds for a query about one study from which on it counts as busy: pauses "
        "between requests then double, up to 5 minutes, and halve again once it is quick.",
    )
    maximum_tries: int = Field(
        5, ge=1, description="Times a study is asked for before it is listed as missing."
    )

    @property
    def remote(self) -> RemoteAE:
        """Where it is called."""
        return RemoteAE(self.ae_title, self.host, self.port, self.outbound_tls)
