"""Who may associate with the listener, and what for: calling AE title, address, called AE title.

Pure decisions on plain values; sockets, TLS and PDUs are elsewhere.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


class Role(StrEnum):
    """What a peer may do; verification (C-ECHO) needs none."""

    STORE = "store"
    """Send us instances by C-STORE, and ask for their storage commitment by N-ACTION."""

    QUERY = "query"
    """Ask us by C-FIND, C-MOVE or C-GET."""

    RECEIVE = "receive"
    """Be sent to: we may open associations to its host and port."""


ALL_ROLES = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Peer:
    """One line of the allow-list.

    `called_ae_titles` is empty for the listener's own. On the TLS port the peer's certificate must
    hold one of `certificate_names` (subject common name or subject alternative name); where that is
    empty, its AE title. A peer with `certificate_names` is not admitted on the plain port.
    """

    name: str
    ae_title: str
    networks: tuple[Network, ...]
    roles: frozenset[Role]
    called_ae_titles: tuple[str, ...] = ()
    certificate_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who requests an association; `certificate_names` is None on the plain port."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    certificate_names: tuple[str, ...] | None = None

    @property
    def network_address(self) -> IPv4Address | IPv6Address:
        """The address; an IPv4 address mapped to IPv6 (::ffff:192.0.2.1) as IPv4."""
        address = ip_address(self.address.partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address


class Reason(Enum):
    """Why a caller is refused; the value is the diagnostic of A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    CALLING_AE_TITLE = 0x03
    """Calling AE title not recognised: unknown, from another address or another certificate."""

    CALLED_AE_TITLE = 0x07
    """Called AE title not recognised."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The caller may associate, as `peer` (None: as anybody) and in these roles."""

    roles: frozenset[Role]
    peer: Peer | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The caller may not; `detail` says what did not fit, for the log."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class AccessList:
    """The allow-list. Without peers, callers on this machine (loopback) are admitted to all.

    They may then call any AE title, as may everyone with `allow_any`, which admits all to all.
    """

    ae_title: str
    peers: tuple[Peer, ...] = ()
    allow_any: bool = False

    def judge(self, caller: Caller) -> Admission | Refusal:
        """Whether the caller may associate, and as whom."""
        if self.allow_any:
            return Admission(ALL_ROLES)
        if not self.peers:
            return self._judge_without_peers(caller)
        refusals = []
        for peer in self.peers:
            if peer.ae_title == caller.calling_ae_title:
                mismatch = _mismatch(peer, caller, self.ae_title)
                if mismatch is None:
                    return Admission(peer.roles, peer)
                refusals.append(mismatch)
        if not refusals:
            return Refusal(Reason.CALLING_AE_TITLE, "no peer has this calling AE title")
        # A wrong called AE title is told only to a caller that is right in all else.
        return max(refusals, key=lambda refusal: refusal.reason is Reason.CALLED_AE_TITLE)

    def _judge_without_peers(self, caller: Caller) -> Admission | Refusal:
        if not caller.network_address.is_loopback:
            return Refusal(
                Reason.CALLING_AE_TITLE, "no peers are set, so only this machine is admitted"
            )
        return Admission(ALL_ROLES)


ANYBODY = AccessList("", allow_any=True)
"""No check at all; for parts of the tests and the stand-in PACS of the demo."""


def toml_to_admit(caller: Caller) -> str:
    """The [[peers]] table that admits this caller to store, ready to paste."""
    lines = [
        "[[peers]]",
        f"name = {_text(caller.calling_ae_title)}",
        f"ae_title = {_text(caller.calling_ae_title)}",
        f"networks = [{_text(str(caller.network_address))}]",
        f'roles = ["{Role.STORE}"]',
    ]
    if caller.certificate_names:
        lines.append(f"certificate_names = [{_text(caller.certificate_names[0])}]")
    return "\n".join(lines)


def certificate_names(certificate: object) -> tuple[str, ...]:
    """Subject common names and alternative names of `ssl.SSLSocket.getpeercert()`'s answer."""
    if not isinstance(certificate, dict):
        return ()
    subject = [pair for pairs in certificate.get("subject", ()) for pair in pairs]
    names = [value for key, value in subject if key == "commonName"]
    names += [value for _, value in certificate.get("subjectAltName", ())]
    return tuple(dict.fromkeys(str(name) for name in names))


def _mismatch(peer: Peer, caller: Caller, own_ae_title: str) -> Refusal | None:
    address = caller.network_address
    if not any(address in network for network in peer.networks):
        return Refusal(
            Reason.CALLING_AE_TITLE, f"address is in none of the networks of peer {peer.name}"
        )
    if not _holds_certificate(peer, caller.certificate_names):
        return Refusal(Reason.CALLING_AE_TITLE, f"certificate is not that of peer {peer.name}")
    if caller.called_ae_title not in (peer.called_ae_titles or (own_ae_title,)):
        wanted = " or ".join(peer.called_ae_titles or (own_ae_title,))
        return Refusal(Reason.CALLED_AE_TITLE, f"peer {peer.name} has to call {wanted}")
    return None


def _holds_certificate(peer: Peer, names: Sequence[str] | None) -> bool:
    if names is None:
        return not peer.certificate_names
    wanted = peer.certificate_names or (peer.ae_title,)
    return not set(wanted).isdisjoint(names)


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's too, which also wants DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
