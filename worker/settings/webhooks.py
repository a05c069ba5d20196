"""[[webhooks]]: who gets a signed HTTPS POST for each result."""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from db.outcomes import TOLD
from worker.settings.fields import PositiveSeconds, Section
from worker.settings.receivers import MessagesPerMinute, Outcomes


class WebhookReceiver(Section):
    """A service that takes JSON, as `worklist/flags/webhook.schema.json` describes it."""

    name: str = Field(min_length=1, max_length=64, description="Short unique name for people.")
    url: str = Field(description="Where it is posted to: https, and no password in it.")
    secret_file: Path = Field(
        description="File with the secret that requests are signed with, 16 bytes or more; spaces "
        "and line ends around it do not count."
    )
    allow_http: bool = Field(
        False, description="Take http, too: anybody on the way then reads along."
    )
    patient_data: bool = Field(
        False, description="Tell accession number and patient ID; false: UIDs alone."
    )
    worklist_url: str = Field(
        "", description="Address of the worklist, for a link to the study; empty: no link."
    )
    outcomes: Outcomes = TOLD
    messages_per_minute: MessagesPerMinute = 60
    timeout_s: PositiveSeconds = Field(
        15.0, description="Seconds to wait for its answer, whatever it does meanwhile."
    )
    tls_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that may have signed its certificate; none: "
        "those of the operating system.",
    )
    tls_certificate_file: Path | None = Field(
        None, description="Our client certificate for it, PEM with its chain."
    )
    tls_key_file: Path | None = Field(None, description="The certificate's key, PEM.")

    @field_validator("url", "worklist_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not value:
            return value
        import httpx  # here, since few settings hold an address

        parts = urlsplit(value)
        try:
            httpx.URL(value)
        except httpx.InvalidURL:
            raise ValueError("is no address that can be called") from None
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("must be an address such as https://host/path")
        if parts.username or parts.password:
            raise ValueError("must hold no user or password: requests are signed, see secret_file")
        return value

    @model_validator(mode="after")
    def _check(self) -> "WebhookReceiver":
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not (self.allow_http or _is_loopback(parts.hostname or "")):
            raise ValueError(f"{self.name}: url must be https (or set allow_http = true)")
        if not self.url:
            raise ValueError(f"{self.name}: url is empty")
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError(f"{self.name}: tls_certificate_file and tls_key_file belong together")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
