"""[[destinations]]: where results go."""

from pydantic import Field, model_validator

from worker.settings.fields import AETitle, Port
from worker.settings.remote import RemoteSettings


class Destination(RemoteSettings):
    """A remote AE that gets every result."""

    host: str = Field(min_length=1, description="Its host name or address.")
    port: Port = Field(description="Its TCP port.")
    calling_ae_title: AETitle | None = Field(
        None, description="AE title to call it with; none: delivery.calling_ae_title."
    )
    commitment: bool = Field(
        False, description="Ask it for storage commitment: sent becomes COMMITTED."
    )
    read_back: bool = Field(
        False,
        description="Ask it by C-FIND (Study Root) for what was sent, if it has no commitment.",
    )

    @model_validator(mode="after")
    def _one_confirmation(self) -> "Destination":
        if self.commitment and self.read_back:
            raise ValueError(
                f"{self.name}: read_back is for destinations without commitment, set one of them"
            )
        return self
