from ipaddress import ip_network
from pathlib import Path

import pytest

from dicom_node.access import Admission, Caller, Refusal
from worker.errors import SettingsError
from worker.reception import access_list, tls_port
from worker.settings import Settings, load_settings

PEER = '[[peers]]\nname = "ct"\nae_title = "CT"\nnetworks = ["192.0.2.7"]\nroles = ["store"]\n'


def _load(tmp_path: Path, toml: str) -> Settings:
    (tmp_path / "settings.toml").write_text(toml)
    return load_settings(tmp_path / "settings.toml")


def test_by_default_only_this_machine_is_admitted() -> None:
    access = access_list(Settings())
    assert isinstance(access.judge(Caller("CT", "FRACTURESCREEN", "127.0.0.1")), Admission)
    assert isinstance(access.judge(Caller("CT", "FRACTURESCREEN", "192.0.2.7")), Refusal)


def test_a_peer_of_the_file_is_admitted_and_this_machine_no_longer(tmp_path: Path) -> None:
    access = access_list(_load(tmp_path, PEER))
    assert access.peers[0].networks == (ip_network("192.0.2.7/32"),)
    assert isinstance(access.judge(Caller("CT", "FRACTURESCREEN", "192.0.2.7")), Admission)
    assert isinstance(access.judge(Caller("CT", "FRACTURESCREEN", "127.0.0.1")), Refusal)


def test_any_peer_has_to_be_allowed_by_name(tmp_path: Path) -> None:
    access = access_list(_load(tmp_path, "[listener]\nallow_any_peer = true\n"))
    assert isinstance(access.judge(Caller("X", "Y", "203.0.113.1")), Admission)


def test_without_a_certificate_there_is_no_tls_port() -> None:
    assert tls_port(Settings().listener) is None


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (PEER + PEER, "unique"),
        (PEER.replace('["store"]', '["receive"]'), "host and port"),
        (PEER + 'tls_ca_file = "ca.crt"\n', "needs host and port"),
        (PEER + 'tls_key_file = "key"\n', "belong together"),
        (PEER.replace("roles", "rolls"), "did you mean peers.roles"),
        (PEER.replace('["192.0.2.7"]', "[]"), "networks"),
        ('[listener.tls]\nkey = "k"\n', "needed together"),
        ("[listener]\nplain = false\n", "no port would be open"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_with_the_fix(
    tmp_path: Path, toml: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        _load(tmp_path, toml)
