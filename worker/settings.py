"""Settings: one TOML file and the environment, read once per process, frozen, passed in.

Nothing else in the product reads the environment. Every field has a description: they are the
settings reference.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from models.bundle import DEFAULT_BUNDLE
from worker.errors import SettingsError

ENVIRONMENT_PREFIX = "FRACTURE_SCREEN_"
CONFIG_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"

_DATABASES = ("postgresql+psycopg://", "postgresql://", "sqlite:///")

AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[!-\[\]-~][ -\[\]-~]*$")]
"""PS3.5 6.2: at most 16 printable ASCII characters, no backslash, not blank."""
Port = Annotated[int, Field(ge=1, le=65535)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ListenerSettings(_Section):
    """The Storage SCP that receives radiographs."""

    ae_title: AETitle = Field("FRACTURESCREEN", description="AE title that peers call.")
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104  # peers are other machines
    port: Port = Field(11112, description="TCP port to listen on.")
    maximum_associations: int = Field(32, ge=1, description="Associations open at once.")
    stop_grace_s: PositiveSeconds = Field(
        30.0, description="Seconds that open associations get to finish after SIGTERM."
    )
    minimum_free_mib: int = Field(
        512, ge=0, description="Refuse new instances below this much free disk space, in MiB."
    )


class StudySettings(_Section):
    """When a study is taken to be complete, and how often its screening is tried."""

    quiet_period_s: PositiveSeconds = Field(
        5.0, description="Seconds without a new instance after which a study is screened."
    )
    maximum_attempts: int = Field(
        3, ge=1, description="Screenings begun before a study ends FAILED."
    )
    lease_s: PositiveSeconds = Field(
        120.0,
        description="Seconds a worker may take for one study before another one gets it; "
        "longer than the longest screening.",
    )
    requeue_after_s: PositiveSeconds = Field(
        300.0, description="Seconds after which a queued study that nobody took is queued again."
    )
    poll_interval_s: PositiveSeconds = Field(
        0.25, description="Seconds between two looks of the dispatcher at the ledger."
    )


class LimitSettings(_Section):
    """Caps that are checked before pixels are decoded."""

    maximum_rows: int = Field(8192, ge=1, description="Rows of an image.")
    maximum_columns: int = Field(8192, ge=1, description="Columns of an image.")
    maximum_frames: int = Field(64, ge=1, description="Frames of an instance.")
    maximum_instance_mib: int = Field(512, ge=1, description="Size of an instance, in MiB.")


class ModelSettings(_Section):
    """The classifier."""

    bundle: Path = Field(
        DEFAULT_BUNDLE, description="Folder with card.json and weights.npz; default: as shipped."
    )


class DeliverySettings(_Section):
    """How results are sent."""

    calling_ae_title: AETitle = Field(
        "FRACTURESCREEN", description="AE title that we call destinations with."
    )
    maximum_tries: int = Field(10, ge=1, description="Tries before a delivery ends FAILED.")
    first_backoff_s: PositiveSeconds = Field(
        30.0, description="Seconds before the second try; doubled for each further one."
    )
    maximum_backoff_s: PositiveSeconds = Field(
        600.0, description="Longest pause between two tries, in seconds."
    )
    timeout_s: PositiveSeconds = Field(
        30.0, description="Seconds to wait for a destination's answer."
    )


class Destination(_Section):
    """A remote AE that gets every result."""

    name: str = Field(min_length=1, max_length=64, description="Short unique name for tables.")
    ae_title: AETitle = Field(description="Its AE title.")
    host: str = Field(min_length=1, description="Its host name or address.")
    port: Port = Field(description="Its TCP port.")


class Settings(BaseSettings):
    """All settings. Environment: FRACTURE_SCREEN_<SECTION>__<FIELD>, stronger than the file."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    data_folder: Path = Field(
        Path("fracture-screen-data"),
        description="Everything that must last: spool, results, and the embedded database and "
        "broker.",
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy URL, e.g. postgresql+psycopg://user:password@host/name; "
        "empty: SQLite in the data folder.",
    )
    broker_url: str = Field(
        "", description="Celery broker, e.g. redis://host:6379/0; empty: files in the data folder."
    )
    listener: ListenerSettings = ListenerSettings()
    study: StudySettings = StudySettings()
    limits: LimitSettings = LimitSettings()
    model: ModelSettings = ModelSettings()
    delivery: DeliverySettings = DeliverySettings()
    destinations: tuple[Destination, ...] = Field(
        (), description="Where results go; in the file one [[destinations]] table each."
    )

    @model_validator(mode="after")
    def _check_destination_names(self) -> "Settings":
        names = [destination.name for destination in self.destinations]
        if len(set(names)) < len(names):
            raise ValueError(f"destinations must have unique names, got {', '.join(names)}")
        return self

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
    def is_embedded_database(self) -> bool:
        """Whether the ledger is our own SQLite file, which `up` may create and migrate."""
        return not self.database_url

    @property
    def effective_database_url(self) -> str:
        """The URL in force."""
        return self.database_url or f"sqlite:///{self.data_folder.resolve() / 'ledger.sqlite'}"


def _checked_url(value: str) -> str:
    """Refuse what is no URL here: later errors might show the password in it."""
    try:
        if value:
            make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(
            "is no URL of the form scheme://user:password@host:port/name; "
            "percent-encode special characters of user and password"
        ) from None
    return value


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings: overrides, then environment, then file, then defaults.

    Args:
        config: TOML file; None: the one that FRACTURE_SCREEN_CONFIG names, if any.
        overrides: whole top-level fields. Any: pydantic validates them.

    Raises:
        SettingsError: a value is not allowed, or a name is unknown (the nearest one is told).
    """
    stated = os.environ.get(CONFIG_VARIABLE)
    path = config or (Path(stated) if stated else None)
    if path is not None and not path.is_file():
        raise SettingsError(f"settings file {path} does not exist")
    _refuse_unknown_variables(os.environ)

    class FromFile(Settings):
        _toml_file: ClassVar[Path | None] = path

    try:
        return FromFile(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except ValueError as error:
        raise SettingsError(f"{path or 'the environment'}: {error}") from error


def field_reference() -> list[tuple[str, Any, str]]:
    """(dotted name, default, description) of every setting. Any: defaults differ in type."""
    return _fields_of(Settings, "")


def _fields_of(section: type[BaseModel], prefix: str) -> list[tuple[str, Any, str]]:
    rows: list[tuple[str, Any, str]] = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _fields_of(field.annotation, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, field.default, field.description or ""))
    return rows


def _known_names() -> list[str]:
    names = [name for name, _, _ in field_reference()]
    return [
        *Settings.model_fields,
        *names,
        *(f"destinations.{n}" for n in Destination.model_fields),
    ]


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    variables = {
        ENVIRONMENT_PREFIX + name.replace(".", "__").upper() for name in _known_names()
    } | {CONFIG_VARIABLE}
    sections = {
        ENVIRONMENT_PREFIX + name.upper()
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    for name in environment:
        if name.startswith(ENVIRONMENT_PREFIX) and name.upper() not in variables | sections:
            raise SettingsError(
                f"environment variable {name} is no setting{_nearest(name, sorted(variables))}"
            )


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(dict(detail)) for detail in error.errors())


def _explain_one(detail: dict[str, Any]) -> str:  # Any: pydantic's own error details
    location = ".".join(str(part) for part in detail["loc"] if not isinstance(part, int))
    if detail["type"] == "extra_forbidden":
        return f"{location} is no setting{_nearest(location, _known_names())}"
    # Never the value: a URL may hold a password.
    return f"{location or 'settings'}: {detail['msg']}"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; `fracture-screen settings show` lists all"
