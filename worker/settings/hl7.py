"""[[hl7]]: who gets an HL7 v2 message (ORU^R01 over MLLP) for each result."""

from typing import Annotated

from pydantic import Field

from db.outcomes import TOLD
from worker.settings.fields import Port, PositiveSeconds
from worker.settings.receivers import MessagesPerMinute, Outcomes
from worker.settings.remote import CalledSettings

Hl7Name = Annotated[str, Field(max_length=20, pattern=r"^[^|^~\\&\x00-\x1f\x7f]*$")]
"""A namespace ID (IS in HD) of v2.5.1, without delimiters."""


class Hl7Receiver(CalledSettings):
    """A RIS, an EHR or an interface engine; with `tls_ca_file` or `tls_pinned_sha256`, by TLS."""

    host: str = Field(min_length=1, description="Its host name or address.")
    port: Port = Field(description="Its TCP port.")
    sending_application: Hl7Name = Field(
        "FRACTURESCREEN", description="MSH-3: how it knows us; at most 20 characters, as the next."
    )
    sending_facility: Hl7Name = Field("", description="MSH-4.")
    receiving_application: Hl7Name = Field("", description="MSH-5: its own name.")
    receiving_facility: Hl7Name = Field("", description="MSH-6.")
    outcomes: Outcomes = TOLD
    messages_per_minute: MessagesPerMinute = 60
    timeout_s: PositiveSeconds = Field(
        30.0, description="Seconds to wait for its acknowledgement, whatever it does meanwhile."
    )
