"""[monitor]: health, metrics and alarms on a port of their own."""

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from worker.settings.fields import Port, PositiveSeconds, Section


class MonitorSettings(Section):
    """Where health and metrics are served, what counts as trouble, and who is told."""

    host: str = Field("127.0.0.1", description="Address that /live, /ready and /metrics are on.")
    port: Port = Field(9180, description="TCP port of the same.")
    look_every_s: PositiveSeconds = Field(
        5.0,
        description="Seconds between two looks at ledger, broker and disk; answers show the last.",
    )
    listener_host: str = Field(
        "",
        description="Where the listener's port is tried; empty: listener.host, or this machine if "
        "that is every address.",
    )
    ready_wait_s: PositiveSeconds = Field(
        300.0,
        description="Not ready once a triage study waits longer and for as long none was done.",
    )
    waiting_alarm_s: PositiveSeconds = Field(
        600.0, description="Alarm once a triage study waits longer for its screening."
    )
    dispatch_alarm_s: PositiveSeconds = Field(
        60.0, description="Alarm once a triage study waits longer for the dispatcher."
    )
    circuit_alarm_s: PositiveSeconds = Field(
        600.0, description="Alarm once a destination has not answered for longer."
    )
    sweep_alarm_s: PositiveSeconds = Field(
        900.0, description="Alarm once nobody has looked after a running sweep for longer."
    )
    not_analysed_alarm_share: float = Field(
        0.8,
        gt=0,
        description="Alarm once this share of a device's or a sender's radiographs of a day was "
        "left out, unread or outside the scope; a room for all parts is often above 0.5; above 1: "
        "never.",
    )
    not_analysed_alarm_radiographs: int = Field(
        20, ge=1, description="Radiographs of a day below which that alarm is not raised."
    )
    disk_warning_mib: int = Field(
        5120,
        ge=0,
        description="Alarm below this much free disk space, in MiB; below "
        "listener.minimum_free_mib a critical one, since the listener refuses instances then.",
    )
    raise_after_s: float = Field(
        20.0, ge=0, description="Seconds that trouble has to last before its alarm is raised."
    )
    resolve_after_s: float = Field(
        60.0, ge=0, description="Seconds without the trouble after which its alarm is resolved."
    )
    alarm_webhook: str = Field(
        "", description="URL that alarms are POSTed to as JSON, signed; empty: none."
    )
    alarm_secret_file: Path | None = Field(
        None, description="File with the secret that signs them (HMAC-SHA256), 16 bytes or more."
    )
    alarm_timeout_s: PositiveSeconds = Field(
        10.0, description="Seconds to wait for the webhook's answer."
    )
    repeat_hours: float = Field(
        12.0, gt=0, description="Hours after which an alarm that lasts is sent again."
    )

    @field_validator("alarm_webhook")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> "MonitorSettings":
        if self.alarm_webhook and self.alarm_secret_file is None:
            raise ValueError("alarm_webhook needs alarm_secret_file: alarms are signed")
        return self
