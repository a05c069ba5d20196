"""[worklist]: the web page for readers."""

from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from worker.settings.fields import Port, Section


class WorklistSettings(Section):
    """Where the page is served, and how people sign in."""

    host: str = Field("127.0.0.1", description="Address that the page is served on.")
    port: Port = Field(8080, description="TCP port of the page.")
    tls_certificate_file: Path | None = Field(
        None, description="Certificate of the page, PEM with its chain; set: https."
    )
    tls_key_file: Path | None = Field(None, description="The certificate's key, PEM.")
    viewer_url: str = Field(
        "",
        description="Link into the hospital's viewer, with {study_instance_uid}; empty: none.",
    )
    session_idle_minutes: float = Field(
        30, gt=0, description="Minutes without a request after which one has to sign in again."
    )
    session_hours: float = Field(12, gt=0, description="Hours after which so in any case.")
    failures_to_lock: int = Field(
        5, ge=1, description="Wrong passwords in a row that lock an account for lock_minutes."
    )
    lock_minutes: float = Field(15, gt=0, description="Minutes that a locked account stays so.")
    secure_cookies: bool = Field(
        True,
        description="Whether browsers send the session's cookie by https only. Browsers take "
        "http://127.0.0.1 and http://localhost for as good.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="Addresses or networks of reverse proxies whose trusted_header is believed; "
        "none: nobody signs in by it.",
    )
    trusted_header: str = Field(
        "X-Forwarded-User", description="Header in which such a proxy names who signed in there."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _check_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            try:
                ip_network(address, strict=False)
            except ValueError:
                raise ValueError(
                    f'{address!r} is no address; give one such as "10.0.0.5" or "10.0.0.0/28"'
                ) from None
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> "WorklistSettings":
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file belong together")
        return self
