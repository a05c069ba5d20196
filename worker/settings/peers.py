"""[[peers]]: who may call us, and where we call back."""

from pydantic import Field, IPvAnyNetwork, model_validator

from dicom_node.access import Role
from dicom_node.instance import RemoteAE
from worker.settings.fields import AETitle, Port
from worker.settings.remote import RemoteSettings


class PeerSettings(RemoteSettings):
    """A remote AE that may call us. What does not match a peer is rejected and logged."""

    networks: tuple[IPvAnyNetwork, ...] = Field(
        min_length=1,
        description='Addresses or networks that it calls from, e.g. "10.1.2.3", "10.1.0.0/16".',
    )
    roles: tuple[Role, ...] = Field(
        min_length=1,
        description="What it may do: store (send us instances and ask for their commitment), "
        "query (ask us), receive (be sent to, at its host and port).",
    )
    called_ae_titles: tuple[AETitle, ...] = Field(
        (), description="AE titles that it may call; none: listener.ae_title."
    )
    certificate_names: tuple[str, ...] = Field(
        (),
        description="Common or alternative names, one of which its TLS certificate must hold; "
        "set: not admitted without TLS. None: on the TLS port, its AE title.",
    )
    host: str = Field("", description="Host name or address, where it is called back.")
    port: Port | None = Field(
        None,
        description="TCP port, where it is called back: reports on storage commitment go there.",
    )

    @property
    def remote(self) -> RemoteAE | None:
        """Where we call it; None: nowhere."""
        if not self.host or self.port is None:
            return None
        return RemoteAE(self.ae_title, self.host, self.port, self.outbound_tls)

    @model_validator(mode="after")
    def _address_where_needed(self) -> "PeerSettings":
        if self.remote is None and Role.RECEIVE in self.roles:
            raise ValueError(f"{self.name}: role receive needs host and port")
        if self.remote is None and self.outbound_tls is not None:
            raise ValueError(
                f"{self.name}: tls_* is for calling it back, which needs host and port"
            )
        return self
