"""Settings: where values come from, and what is said of those that cannot be used."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from db.outcomes import Outcome
from models.bundle import DEFAULT_BUNDLE
from worker.errors import SettingsError
from worker.settings import (
    AETitle,
    Destination,
    Hl7Receiver,
    PeerSettings,
    Settings,
    WebhookReceiver,
    field_reference,
    load_settings,
)

DESTINATION = (
    '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.local"\nport = 104\n'
)
SECRET = "canary-password"


@pytest.fixture(autouse=True)
def no_settings_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FRACTURE_SCREEN")]:
        monkeypatch.delenv(name)


def write(folder: Path, toml: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(toml)
    return path


def refusal(folder: Path, toml: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(write(folder, toml))
    return str(refused.value)


def test_without_file_and_environment_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.listener.ae_title, settings.listener.port) == ("FRACTURESCREEN", 11112)
    assert settings.destinations == ()
    assert settings.is_embedded_database
    assert settings.model.bundle == DEFAULT_BUNDLE


def test_the_environment_is_stronger_than_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, '[listener]\nport = 1104\nae_title = "FROMFILE"\n')
    monkeypatch.setenv("FRACTURE_SCREEN_LISTENER__PORT", "2104")
    settings = load_settings(file)
    assert (settings.listener.port, settings.listener.ae_title) == (2104, "FROMFILE")


def test_the_file_that_the_environment_names_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRACTURE_SCREEN_CONFIG", str(write(tmp_path, DESTINATION)))
    assert [one.name for one in load_settings().destinations] == ["pacs"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml does not exist"):
        load_settings(tmp_path / "missing.toml")


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path) -> None:
    told = refusal(tmp_path, "[listener\n")
    assert "settings.toml" in told
    assert "line 1" in told


@pytest.mark.parametrize(
    ("toml", "unknown", "nearest"),
    [
        ("[listener]\nprot = 104\n", "listener.prot", "listener.port"),
        ('broker_ulr = "redis://x"\n', "broker_ulr", "broker_url"),
        ("[lisener]\nport = 104\n", "lisener", "listener"),
        (DESTINATION + 'aetitle = "X"\n', "destinations.aetitle", "destinations.ae_title"),
        ("[study]\nquiet_period = 3\n", "study.quiet_period", "study.quiet_period_s"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_is_named(
    tmp_path: Path, toml: str, unknown: str, nearest: str
) -> None:
    assert f"{unknown} is no setting; did you mean {nearest}?" in refusal(tmp_path, toml)


def test_a_key_like_none_points_to_the_list_of_all(tmp_path: Path) -> None:
    assert "fracture-screen settings show" in refusal(tmp_path, "zzqqxx = 1\n")


@pytest.mark.parametrize("lease_s", [59, 60])
def test_a_decoder_that_may_outlast_the_lease_is_refused_with_both_ways_out(
    tmp_path: Path, lease_s: int
) -> None:
    told = refusal(tmp_path, f"[limits]\ndecoder_timeout_s = 60\n[study]\nlease_s = {lease_s}\n")
    assert f"limits.decoder_timeout_s 60 must be shorter than study.lease_s {lease_s}" in told
    assert "lower limits.decoder_timeout_s or raise study.lease_s" in told


def test_a_decoder_that_ends_before_the_lease_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path, "[limits]\ndecoder_timeout_s = 60\n[study]\nlease_s = 61\n")
    assert load_settings(file).limits.decoder_timeout_s == 60


def test_an_unknown_variable_is_refused_and_the_nearest_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRACTURE_SCREEN_LISTENER__PROT", SECRET)
    with pytest.raises(SettingsError, match="did you mean FRACTURE_SCREEN_LISTENER__PORT") as told:
        load_settings()
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("toml", "setting"),
    [
        (f'[listener]\nport = "{SECRET}"\n', "listener.port"),
        (f'[study]\nlease_s = "{SECRET}"\n', "study.lease_s"),
        (f'database_url = "mysql://user:{SECRET}@host/name"\n', "database_url"),
        (f'database_url = "postgresql+psycopg://u:{SECRET}@host:port/x"\n', "database_url"),
        (f'database_url = "{SECRET}"\n', "database_url"),
        (f'broker_url = "redis {SECRET}"\n', "broker_url"),
        (f'broker_url = "redis://:{SECRET}@host:port/0"\n', "broker_url"),
        (f'broker_url = ["redis://:{SECRET}@host/0"]\n', "broker_url"),
        (DESTINATION.replace("104", f'"{SECRET}"'), "destinations.port"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_never_shown(
    tmp_path: Path, toml: str, setting: str
) -> None:
    told = refusal(tmp_path, toml)
    assert told.startswith(setting)
    assert SECRET not in told


@pytest.mark.parametrize(
    "toml",
    [
        "[study]\nquiet_period_s = 0\n",
        "[study]\nmaximum_attempts = 0\n",
        "[listener]\nport = 65536\n",
        "[limits]\nmaximum_rows = 0\n",
        "[delivery]\nmaximum_tries = 0\n",
        DESTINATION.replace('"pacs"', '""'),
    ],
)
def test_numbers_and_names_out_of_range_are_refused(tmp_path: Path, toml: str) -> None:
    assert refusal(tmp_path, toml)


def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "unique names, got pacs, pacs" in refusal(tmp_path, DESTINATION * 2)


HL7 = '[[hl7]]\nname = "ris"\nhost = "ris.local"\nport = 2575\n'
WEBHOOK = '[[webhooks]]\nname = "hook"\nurl = "https://hook.local/flags"\nsecret_file = "secret"\n'


def test_receivers_of_messages_hear_of_every_outcome_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    settings = load_settings(write(tmp_path, DESTINATION + HL7 + WEBHOOK))
    assert settings.destination_names == ("pacs", "ris", "hook")
    assert settings.pacs_names == ("pacs",)
    for receiver in settings.receivers:
        assert set(receiver.outcomes) == set(Outcome) - {Outcome.FAILED}
    assert not settings.webhooks[0].patient_data


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (DESTINATION + HL7.replace("ris", "pacs"), "unique names, got pacs, pacs"),
        (HL7 + WEBHOOK.replace('"hook"', '"ris"'), "unique names, got ris, ris"),
        (HL7 + "timeout_s = 500\n", "at most a quarter of"),
        (HL7 + "receivingapplication = 1\n", "did you mean hl7.receiving_application"),
        (HL7 + 'sending_application = "A|B"\n', "hl7.sending_application"),
        (HL7 + f'sending_facility = "{"x" * 21}"\n', "hl7.sending_facility"),
        (HL7 + "outcomes = []\n", "hl7.outcomes"),
        (HL7 + 'tls_certificate_file = "a"\ntls_key_file = "b"\n', "TLS needs tls_ca_file"),
        (WEBHOOK.replace("https", "http"), "must be https (or set allow_http = true)"),
        (WEBHOOK.replace("https://", f"https://user:{SECRET}@"), "no user or password"),
        (WEBHOOK.replace("https", "ftp"), "must be an address such as https://host/path"),
        (WEBHOOK.replace("https://hook.local/flags", ""), "url is empty"),
        (WEBHOOK.replace("hook.local", "hook.local:port"), "is no address that can be called"),
    ],
)
def test_receivers_that_cannot_be_used_are_refused_with_the_reason(
    tmp_path: Path, toml: str, told: str
) -> None:
    refused = refusal(tmp_path, toml)
    assert told in refused
    assert SECRET not in refused


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_http_is_taken_on_this_machine(tmp_path: Path, host: str) -> None:
    plain = WEBHOOK.replace("https://hook.local", f"http://{host}:8000")
    assert load_settings(write(tmp_path, plain)).webhooks


def test_http_is_taken_elsewhere_if_the_settings_say_so(tmp_path: Path) -> None:
    plain = WEBHOOK.replace("https", "http") + "allow_http = true\n"
    assert load_settings(write(tmp_path, plain)).webhooks


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValidationError):
        load_settings().listener.port = 104


def test_every_setting_says_what_it_is() -> None:
    undescribed = [name for name, _, description in field_reference() if not description]
    assert undescribed == []
    for section in (Destination, PeerSettings, Hl7Receiver, WebhookReceiver):
        assert all(field.description for field in section.model_fields.values())


def test_the_reference_holds_every_field_of_every_section() -> None:
    assert {name for name, _, _ in field_reference()} == set(leaves(Settings))


def leaves(section: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += leaves(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


@pytest.mark.parametrize("ae_title", ["A", "FRACTURE-SCREEN1", "with space", "a.b:c@d/#"])
def test_an_ae_title_of_printable_ascii_is_taken(ae_title: str) -> None:
    assert TypeAdapter(AETitle).validate_python(ae_title) == ae_title


@pytest.mark.parametrize(
    "ae_title",
    ["", " ", " LEADING", "BACK\\SLASH", "UMLAUT-Ä", "SEVENTEEN-LETTERS", "TAB\t", "N\n"],
)
def test_an_ae_title_that_the_standard_forbids_is_refused(ae_title: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AETitle).validate_python(ae_title)


@given(st.text(max_size=20))
def test_whatever_passes_as_an_ae_title_can_be_sent(text: str) -> None:
    """PS3.5 6.2: VR AE, default repertoire without backslash and control characters."""
    try:
        TypeAdapter(AETitle).validate_python(text)
    except ValidationError:
        return
    assert 1 <= len(text) <= 16
    assert text.isascii()
    assert text.isprintable()
    assert text.strip()
    assert "\\" not in text


def test_a_tilde_in_a_path_is_the_home_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = write(tmp_path, 'data_folder = "~/screen"\n[model]\nbundle = "~/bundle"\n')
    settings = load_settings(file)
    assert settings.data_folder == tmp_path / "home" / "screen"
    assert settings.model.bundle == tmp_path / "home" / "bundle"
    monkeypatch.setenv("FRACTURE_SCREEN_DATA_FOLDER", "~/other")
    assert load_settings(file).data_folder == tmp_path / "home" / "other"


def test_the_home_of_a_user_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'data_folder = "~nobody-of-this-name/data"\n')
    assert "data_folder" in told
    assert "write the whole path" in told


def test_a_word_of_the_site_names_a_region_or_none(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[body_parts]\n"KÉZ" = "hand"\nROOM3 = "Not a limb"\nBOX = "ignored"\n')
    assert load_settings(file).body_parts == {
        "KÉZ": "HAND",
        "ROOM3": "not a limb",
        "BOX": "ignored",
    }


def test_a_region_that_does_not_exist_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[body_parts]\nKEZ = "HANDD"\n')
    with pytest.raises(SettingsError, match=r"body_parts.*KEZ.*'HANDD'.*did you mean HAND"):
        load_settings(file)
    file.write_text('[body_parts]\n"12" = "HAND"\n')
    with pytest.raises(SettingsError, match="needs letters"):
        load_settings(file)
