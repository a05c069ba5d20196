"""[listener] and [listener.tls]: the ports that we open, and what one caller may take."""

from pathlib import Path

from pydantic import Field, model_validator

from worker.settings.fields import AETitle, Port, PositiveSeconds, Section


class ListenerTlsSettings(Section):
    """The listener's TLS port; it is open once `certificate` is set. Callers need certificates."""

    port: Port = Field(2762, description="TCP port to listen on by TLS.")
    certificate: Path | None = Field(
        None, description="PEM file: our certificate, then those between it and its authority."
    )
    key: Path | None = Field(None, description="PEM file: our certificate's private key.")
    authority: Path | None = Field(
        None, description="PEM file: the authorities that callers' certificates must be of."
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> "ListenerTlsSettings":
        files = (self.certificate, self.key, self.authority)
        if any(files) and not all(files):
            raise ValueError("certificate, key and authority are needed together")
        return self


class ListenerSettings(Section):
    """The Storage SCP that receives radiographs."""

    ae_title: AETitle = Field("FRACTURESCREEN", description="AE title that peers call.")
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104  # peers are other machines
    port: Port = Field(11112, description="TCP port to listen on.")
    plain: bool = Field(
        True, description="Whether `port` is open; false: listener.tls.port is the only one."
    )
    processes: int = Field(
        1, ge=1, le=64, description="Listener processes that share the ports (SO_REUSEPORT)."
    )
    allow_any_peer: bool = Field(
        False,
        description="Admit every caller to everything, whatever AE title it calls: for a closed "
        "test network. Otherwise [[peers]] says who is admitted; without peers, only this machine, "
        "whatever AE title it calls.",
    )
    maximum_associations: int = Field(
        32, ge=1, description="Associations open at once, per listener process."
    )
    maximum_associations_per_peer: int = Field(16, ge=1, description="Of them, from one address.")
    stop_grace_s: PositiveSeconds = Field(
        30.0, description="Seconds that open associations get to finish after SIGTERM."
    )
    minimum_free_mib: int = Field(
        512, ge=0, description="Refuse new instances below this much free disk space, in MiB."
    )
    tls: ListenerTlsSettings = ListenerTlsSettings()

    @model_validator(mode="after")
    def _some_port(self) -> "ListenerSettings":
        if not self.plain and self.tls.certificate is None:
            raise ValueError("plain = false needs listener.tls.certificate: no port would be open")
        return self
