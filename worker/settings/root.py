"""All sections together, with what holds between them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from worker.settings.body_parts import known_region
from worker.settings.delivery import DeliverySettings
from worker.settings.destinations import Destination
from worker.settings.fields import home_expanded
from worker.settings.hl7 import Hl7Receiver
from worker.settings.limits import LimitSettings
from worker.settings.listener import ListenerSettings
from worker.settings.model import ModelSettings
from worker.settings.monitor import MonitorSettings
from worker.settings.peers import PeerSettings
from worker.settings.promotion import PromotionSettings
from worker.settings.remote import CalledSettings
from worker.settings.retention import RetentionSettings
from worker.settings.sources import SourceSettings
from worker.settings.study import StudySettings
from worker.settings.sweep import ScheduleSettings, SweepSettings
from worker.settings.url_files import read_url_files
from worker.settings.webhooks import WebhookReceiver
from worker.settings.worklist import WorklistSettings

ENVIRONMENT_PREFIX = "FRACTURE_SCREEN_"

_DATABASES = ("postgresql+psycopg://", "postgresql://", "sqlite:///")


class Settings(BaseSettings):
    """All settings. Environment: FRACTURE_SCREEN_<SECTION>__<FIELD>, stronger than the file."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    data_folder: Path = Field(
        Path("fracture-screen-data"),
        description="Everything that must last: spool, results, and the embedded database and "
        "broker. As in every path, `~` is the home of the user that runs it.",
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy URL, e.g. postgresql+psycopg://user:password@host/name; "
        "empty: SQLite in the data folder.",
    )
    database_url_file: Path | None = Field(
        None,
        description="File that holds database_url, for a password that no settings may hold.",
    )
    broker_url: str = Field(
        "", description="Celery broker, e.g. redis://host:6379/0; empty: files in the data folder."
    )
    broker_url_file: Path | None = Field(
        None, description="File that holds broker_url, for a password that no settings may hold."
    )
    listener: ListenerSettings = ListenerSettings()
    study: StudySettings = StudySettings()
    limits: LimitSettings = LimitSettings()
    model: ModelSettings = ModelSettings()
    promotion: PromotionSettings = PromotionSettings()
    body_parts: dict[str, str] = Field(
        {},
        description="How this site's words for body parts are understood, stronger than the "
        'built-in table: a word of Body Part Examined or a description = a region such as "HAND", '
        '"not a limb" or "ignored" (says nothing of the body part). In the file one table '
        "[body_parts]; `fracture-screen body-parts` lists words that are unknown.",
    )
    delivery: DeliverySettings = DeliverySettings()
    sweep: SweepSettings = SweepSettings()
    worklist: WorklistSettings = WorklistSettings()
    monitor: MonitorSettings = MonitorSettings()
    retention: RetentionSettings = RetentionSettings()
    destinations: tuple[Destination, ...] = Field(
        (), description="Where results go; in the file one [[destinations]] table each."
    )
    hl7: tuple[Hl7Receiver, ...] = Field(
        (),
        description="Who gets an HL7 message for each result; in the file one [[hl7]] table each.",
    )
    webhooks: tuple[WebhookReceiver, ...] = Field(
        (),
        description="Who gets a signed HTTPS request for each result; in the file one "
        "[[webhooks]] table each.",
    )
    peers: tuple[PeerSettings, ...] = Field(
        (), description="Who may call the listener; in the file one [[peers]] table each."
    )

    sources: tuple[SourceSettings, ...] = Field(
        (), description="Where sweeps look and fetch; in the file one [[sources]] table each."
    )
    schedules: tuple[ScheduleSettings, ...] = Field(
        (), description="Sweeps of every night; in the file one [[schedules]] table each."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_url_files(cls, values: dict[str, Any]) -> dict[str, Any]:  # Any: not validated yet
        return values | read_url_files(values)

    @model_validator(mode="after")
    def _check_between_sections(self) -> "Settings":
        _require_unique_names("peers", self.peers)
        _require_unique_names(
            "destinations, hl7 and webhooks", [*self.destinations, *self.receivers]
        )
        _require_lease_longer_than_answers(self.delivery, self.receivers)
        _require_unique_names("sources", self.sources)
        _require_unique_names("schedules", self.schedules)
        _require_known_sources(self.schedules, self.sources)
        _require_lease_longer_than_decoder(self.study, self.limits)
        return self

    @field_validator("*")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:  # Any: of every field
        return home_expanded(value)

    @field_validator("body_parts")
    @classmethod
    def _check_body_parts(cls, value: dict[str, str]) -> dict[str, str]:
        return {word: known_region(word, region) for word, region in value.items()}

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        if value and not value.startswith(_DATABASES):
            raise ValueError(f"must begin with {' or '.join(_DATABASES)}")
        return _checked_url(value)

    @field_validator("broker_url")
    @classmethod
    def _check_broker_url(cls, value: str) -> str:
        return _checked_url(value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file that `load_settings` names."""
        del dotenv_settings, file_secret_settings
        file = TomlConfigSettingsSource(settings_cls, cls._toml_file)
        return init_settings, env_settings, file

    _toml_file: ClassVar[Path | None] = None

    @property
    def spool_folder(self) -> Path:
        """Received instances, kept exactly as sent."""
        return self.data_folder / "spool"

    @property
    def results_folder(self) -> Path:
        """Result objects, frozen before their first delivery."""
        return self.data_folder / "results"

    @property
    def pacs_names(self) -> tuple[str, ...]:
        """Of the destinations that get DICOM objects, in the order of the file."""
        return tuple(destination.name for destination in self.destinations)

    @property
    def receivers(self) -> tuple[Hl7Receiver | WebhookReceiver, ...]:
        """Who gets messages instead of DICOM objects."""
        return (*self.hl7, *self.webhooks)

    @property
    def destination_names(self) -> tuple[str, ...]:
        """Of all that something is delivered to: those, then receivers of HL7, then web hooks."""
        return (*self.pacs_names, *(receiver.name for receiver in self.receivers))

    @property
    def is_embedded_database(self) -> bool:
        """Whether the ledger is our own SQLite file, which `up` may create and migrate."""
        return not self.database_url

    @property
    def effective_database_url(self) -> str:
        """The URL in force."""
        return self.database_url or f"sqlite:///{self.data_folder.resolve() / 'ledger.sqlite'}"


def _require_unique_names(
    section: str, tables: Sequence[CalledSettings | WebhookReceiver | ScheduleSettings]
) -> None:
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"{section} must have unique names, got {', '.join(names)}")


def _require_known_sources(
    schedules: Sequence[ScheduleSettings], sources: Sequence[SourceSettings]
) -> None:
    known = [source.name for source in sources]
    for schedule in schedules:
        if schedule.source and schedule.source not in known:
            raise ValueError(
                f"schedule {schedule.name}: there is no source {schedule.source!r}, but "
                f"{', '.join(known) or 'none'}"
            )


def _require_lease_longer_than_answers(
    delivery: DeliverySettings, receivers: Sequence[Hl7Receiver | WebhookReceiver]
) -> None:
    for receiver in receivers:
        if delivery.lease_s < 4 * receiver.timeout_s:
            raise ValueError(
                f"{receiver.name}: timeout_s {receiver.timeout_s:g} must be at most a quarter of "
                f"delivery.lease_s {delivery.lease_s:g}: a worker must not lose its lease while it "
                "waits for an answer"
            )


def _require_lease_longer_than_decoder(study: StudySettings, limits: LimitSettings) -> None:
    if limits.decoder_timeout_s >= study.lease_s:
        raise ValueError(
            f"limits.decoder_timeout_s {limits.decoder_timeout_s:g} must be shorter than "
            f"study.lease_s {study.lease_s:g}: a worker that waits for a decoder would lose its "
            "study to another one; lower limits.decoder_timeout_s or raise study.lease_s"
        )


def _checked_url(value: str) -> str:
    """Refuse what is no URL here: later errors might show the password in it."""
    if not value:
        return value
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(
            "is no URL of the form scheme://user:password@host:port/name; "
            "percent-encode special characters of user and password"
        ) from None
    return value
