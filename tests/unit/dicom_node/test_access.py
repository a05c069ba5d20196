import tomllib
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.access import (
    ALL_ROLES,
    AccessList,
    Admission,
    Caller,
    Peer,
    Reason,
    Refusal,
    Role,
    certificate_names,
    toml_to_admit,
)

HERE = Caller("CT", "SCREEN", "10.1.2.3")


def _list(*networks: str, **changes: object) -> AccessList:
    peer = {
        "name": "ct",
        "ae_title": "CT",
        "networks": tuple(ip_network(each) for each in networks),
        "roles": frozenset({Role.STORE}),
    }
    return AccessList("SCREEN", (Peer(**{**peer, **changes}),))  # type: ignore[arg-type]


@pytest.mark.parametrize("network", ["10.1.2.3/32", "10.1.0.0/16", "0.0.0.0/0"])
def test_a_caller_within_a_network_gets_its_peers_roles(network: str) -> None:
    verdict = _list("192.0.2.0/24", network).judge(HERE)

    assert isinstance(verdict, Admission)
    assert verdict.roles == {Role.STORE}


def test_an_ipv4_caller_of_an_ipv6_port_is_the_same_caller() -> None:
    caller = Caller("CT", "SCREEN", "::ffff:10.1.2.3")
    assert isinstance(_list("10.1.2.0/24").judge(caller), Admission)


def test_two_peers_may_share_an_ae_title_at_two_addresses() -> None:
    first, second = _list("10.1.0.0/16").peers[0], _list("10.2.0.0/16").peers[0]
    access = AccessList("SCREEN", (second, first))
    assert access.judge(HERE) == Admission(frozenset({Role.STORE}), first)


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        (Caller("MR", "SCREEN", "10.1.2.3"), Reason.CALLING_AE_TITLE),
        (Caller("CT", "SCREEN", "10.9.9.9"), Reason.CALLING_AE_TITLE),
        (Caller("CT", "OTHER", "10.1.2.3"), Reason.CALLED_AE_TITLE),
        (Caller("CT", "OTHER", "10.9.9.9"), Reason.CALLING_AE_TITLE),
    ],
)
def test_what_does_not_match_is_refused_with_its_reason(caller: Caller, reason: Reason) -> None:
    verdict = _list("10.1.2.0/24").judge(caller)
    assert isinstance(verdict, Refusal)
    assert verdict.reason is reason


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_without_peers_this_machine_is_admitted(address: str) -> None:
    verdict = AccessList("SCREEN").judge(Caller("ANY", "SCREEN", address))
    assert verdict == Admission(ALL_ROLES)


@pytest.mark.parametrize("called", ["SCREEN", "ANY-SCP", ""])
def test_without_peers_this_machine_may_call_any_ae_title(called: str) -> None:
    verdict = AccessList("SCREEN").judge(Caller("ANY", called, "127.0.0.1"))
    assert verdict == Admission(ALL_ROLES)


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.0.1", "fe80::1%eth0", "2001:db8::1"])
def test_without_peers_other_machines_are_refused(address: str) -> None:
    assert isinstance(AccessList("SCREEN").judge(Caller("ANY", "SCREEN", address)), Refusal)


def test_any_peer_means_any() -> None:
    access = AccessList("SCREEN", allow_any=True)
    assert isinstance(access.judge(Caller("X", "Y", "203.0.113.9")), Admission)


@pytest.mark.parametrize(
    ("bound", "held", "admitted"),
    [
        ((), None, True),
        ((), ("CT",), True),
        ((), ("someone else",), False),
        (("ct.hospital",), ("other", "ct.hospital"), True),
        (("ct.hospital",), ("CT",), False),
        (("ct.hospital",), None, False),
    ],
)
def test_a_certificate_is_bound_to_its_peer(
    bound: tuple[str, ...], held: tuple[str, ...] | None, admitted: bool
) -> None:
    access = _list("10.1.2.0/24", certificate_names=bound)
    verdict = access.judge(Caller("CT", "SCREEN", "10.1.2.3", held))
    assert isinstance(verdict, Admission) == admitted


def test_names_come_from_the_subject_and_its_alternatives() -> None:
    certificate = {
        "subject": ((("organizationName", "Hospital"),), (("commonName", "CT1"),)),
        "subjectAltName": (("DNS", "ct1.hospital"), ("DNS", "CT1"), ("IP Address", "10.1.2.3")),
    }
    assert certificate_names(certificate) == ("CT1", "ct1.hospital", "10.1.2.3")


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x10FFFF, exclude_categories=["Cs"])))
def test_the_lines_to_add_are_toml_whatever_the_ae_title(title: str) -> None:
    caller = Caller(title, "SCREEN", "::ffff:10.1.2.3", ("ct.hospital",))
    (peer,) = tomllib.loads(toml_to_admit(caller))["peers"]
    assert peer == {
        "name": title,
        "ae_title": title,
        "networks": ["10.1.2.3"],
        "roles": ["store"],
        "certificate_names": ["ct.hospital"],
    }
