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
    IPvAnyNetwork,
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

from dicom_node.access import Role
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


class ListenerTlsSettings(_Section):
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


class ListenerSettings(_Section):
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
    maximum_instance_mib: int = Field(
        512, ge=1, description="Size of an instance, as received and as decoded, in MiB."
    )
    decoder_timeout_s: PositiveSeconds = Field(
        60.0,
        description="Seconds that reading one instance may take; shorter than study.lease_s.",
    )
    decoder_memory_mib: int = Field(
        4096, ge=512, description="Address space that reading one instance may take, in MiB."
    )


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
    jitter: float = Field(
        0.2, ge=0, le=0.9, description="Share by which a pause is made longer or shorter at random."
    )
    timeout_s: PositiveSeconds = Field(
        30.0, description="Seconds to wait for a destination's answer."
    )
    lease_s: PositiveSeconds = Field(
        600.0,
        description="Seconds that a worker may take for a study's results before another one gets "
        "them; at least four times timeout_s.",
    )
    requeue_after_s: PositiveSeconds = Field(
        120.0, description="Seconds after which a queued delivery that nobody took is queued again."
    )
    failures_to_open: int = Field(
        3,
        ge=1,
        description="Associations with a destination that fail in a row before only one study's "
        "results at a time are tried there (circuit breaker).",
    )
    confirmation_timeout_s: PositiveSeconds = Field(
        900.0,
        description="Seconds to wait for a storage commitment result before asking again.",
    )
    confirmation_tries: int = Field(
        10, ge=1, description="Times a confirmation is asked for before the delivery ends FAILED."
    )

    @model_validator(mode="after")
    def _check_lease(self) -> "DeliverySettings":
        if self.lease_s < 4 * self.timeout_s:
            raise ValueError(
                f"lease_s {self.lease_s:g} must be at least four times timeout_s "
                f"{self.timeout_s:g}: a worker must not lose its lease while it waits for an answer"
            )
        return self


class Destination(_Section):
    """A remote AE that gets every result."""

    name: str = Field(min_length=1, max_length=64, description="Short unique name for tables.")
    ae_title: AETitle = Field(description="Its AE title.")
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

    @model_validator(mode="after")
    def _check_options(self) -> "Destination":
        if self.commitment and self.read_back:
            raise ValueError(
                f"destination {self.name}: read_back is for destinations without commitment, "
                "set one of them"
            )
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError(
                f"destination {self.name}: tls_certificate_file and tls_key_file belong together"
            )
        extra = (self.tls_certificate_file, self.tls_host_name)
        if self.tls_ca_file is None and self.tls_pinned_sha256 is None and any(extra):
            raise ValueError(
                f"destination {self.name}: TLS needs tls_ca_file (or tls_pinned_sha256)"
            )
        return self


class PeerSettings(_Section):
    """A remote AE that may call us. What does not match a peer is rejected and logged."""

    name: str = Field(min_length=1, max_length=64, description="Short unique name for logs.")
    ae_title: AETitle = Field(description="AE title that it calls with.")
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
    host: str = Field("", description="Host name or address, where it is sent to.")
    port: Port | None = Field(None, description="TCP port, where it is sent to.")

    @model_validator(mode="after")
    def _receiver_has_address(self) -> "PeerSettings":
        if Role.RECEIVE in self.roles and not (self.host and self.port):
            raise ValueError("role receive needs host and port")
        return self


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

    peers: tuple[PeerSettings, ...] = Field(
        (), description="Who may call the listener; in the file one [[peers]] table each."
    )

    @model_validator(mode="after")
    def _check_peer_names(self) -> "Settings":
        names = [peer.name for peer in self.peers]
        if len(set(names)) < len(names):
            raise ValueError(f"peers must have unique names, got {', '.join(names)}")
        return self

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
        *(f"peers.{n}" for n in PeerSettings.model_fields),
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
