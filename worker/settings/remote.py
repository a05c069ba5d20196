"""Who is called: by name and with TLS, and remote AEs, which destinations and peers are."""

from pathlib import Path

from pydantic import Field, model_validator

from dicom_node.instance import OutboundTls
from worker.settings.fields import AETitle, Section


class CalledSettings(Section):
    """Somebody that we call; with `tls_ca_file` or `tls_pinned_sha256`, by TLS."""

    name: str = Field(min_length=1, max_length=64, description="Short unique name for people.")
    tls_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that may have signed its certificate; set: TLS.",
    )
    tls_certificate_file: Path | None = Field(
        None, description="Our client certificate for it, PEM with its chain."
    )
    tls_key_file: Path | None = Field(None, description="The certificate's key, PEM.")
    tls_host_name: str | None = Field(
        None, min_length=1, description="Name its certificate must bear; none: its host."
    )
    tls_pinned_sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the one certificate (DER) it may show, instead of a host name.",
    )

    @property
    def outbound_tls(self) -> OutboundTls | None:
        """How it is called; None: plain TCP."""
        if self.tls_ca_file is None and self.tls_pinned_sha256 is None:
            return None
        return OutboundTls(
            ca_file=self.tls_ca_file,
            certificate_file=self.tls_certificate_file,
            key_file=self.tls_key_file,
            host_name=self.tls_host_name,
            pinned_sha256=self.tls_pinned_sha256,
        )

    @model_validator(mode="after")
    def _check_tls(self) -> "CalledSettings":
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError(f"{self.name}: tls_certificate_file and tls_key_file belong together")
        if self.outbound_tls is None and (self.tls_certificate_file or self.tls_host_name):
            raise ValueError(f"{self.name}: TLS needs tls_ca_file (or tls_pinned_sha256)")
        return self


class RemoteSettings(CalledSettings):
    """A remote AE."""

    ae_title: AETitle = Field(description="Its AE title.")
