"""The listener's doorkeeper: who gets an association, and how much a message may cost us.

Its handlers run in pynetdicom's threads, one association each; it answers with A-ASSOCIATE-RJ and
A-ABORT (PS3.8 9.3.4 and 9.3.8) and knows nothing of what is stored.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakSet

import structlog
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_node.access import (
    AccessList,
    Admission,
    Caller,
    Reason,
    Refusal,
    Role,
    toml_to_admit,
)
from dicom_node.listener_transport import (
    ListenerAE,
    caller_certificate,
    let_linger,
    local_address,
)

MIB = 1024 * 1024

_PERMANENT, _BY_USER = 0x01, 0x01
_BY_ACSE, _NO_REASON_GIVEN = 0x02, 0x01
_TRANSIENT, _BY_PRESENTATION_LAYER = 0x02, 0x03
_TEMPORARY_CONGESTION, _LOCAL_LIMIT_EXCEEDED = 0x01, 0x02

_COMMAND_SET_CAP = 64 * 1024
_UNANSWERED_CAP = 2
_IN_MEMORY_CAP = 16 * MIB
"""Bytes of a data set that no C-STORE request brings: those alone are held in memory."""

_ID_DIGITS = 12
"""Hexadecimal digits of an association's id: 48 bits, so that none is met twice within years."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """What one peer, one instance and one message may take.

    An instance larger than `instance_bytes` ends its association. So does another data set of more
    than 16 MiB, and a message that takes longer than `message_s` seconds from its first fragment to
    its last.
    """

    associations_per_peer: int = 16
    instance_bytes: int = 2 * 1024 * MIB
    message_s: float = 600.0


DEFAULT_LIMITS = ListenerLimits()


class ListenerGuard:
    """Admits callers and watches their messages. `has_room` tells whether we can store at all."""

    def __init__(
        self, access: AccessList, has_room: Callable[[], bool], limits: ListenerLimits
    ) -> None:
        self._access = access
        self._has_room = has_room
        self._limits = limits
        self._admitted: WeakKeyDictionary[Association, Admission] = WeakKeyDictionary()
        self._ids: WeakKeyDictionary[Association, str] = WeakKeyDictionary()
        self._message_began: WeakKeyDictionary[Association, float] = WeakKeyDictionary()
        self._aborted: WeakSet[Association] = WeakSet()

    def may(self, association: Association, role: Role) -> bool:
        """Whether the association was admitted in this role."""
        admission = self._admitted.get(association)
        return admission is not None and role in admission.roles

    def association_id(self, association: Association) -> str:
        """By which the log knows an association that was admitted, and all that came on it."""
        return self._ids.get(association, "")

    def on_requested(self, event: Event) -> None:
        """EVT_REQUESTED: reject who isn't allowed, too many of one peer, all on a full disk."""
        caller = _caller(event.assoc)
        verdict = self._access.judge(caller)
        if isinstance(verdict, Refusal):
            if self._is_own_check(event.assoc, caller):
                _log.info("own_check_rejected", address=caller.address)
            else:
                _log_refusal(caller, verdict)
            _reject(event.assoc, _PERMANENT, _BY_USER, verdict.reason.value)
        elif _lacks_transfer_syntax(event.assoc):
            # Negotiating it would end the association's thread and leave its connection open.
            _log.warning("association_rejected_malformed", peer=caller.address)
            _reject(event.assoc, _PERMANENT, _BY_ACSE, _NO_REASON_GIVEN)
        elif not self._has_room():
            _log.critical("association_rejected_disk_full", peer=caller.address)
            _reject(event.assoc, _TRANSIENT, _BY_PRESENTATION_LAYER, _TEMPORARY_CONGESTION)
        elif not _ae(event.assoc).admit(event.assoc, self._limits.associations_per_peer):
            _log.warning("association_rejected_peer_limit", peer=caller.address)
            _reject(event.assoc, _TRANSIENT, _BY_PRESENTATION_LAYER, _LOCAL_LIMIT_EXCEEDED)
        else:
            self._ids[event.assoc] = uuid4().hex[:_ID_DIGITS]
            self._admitted[event.assoc] = verdict
            _log_admission(self._ids[event.assoc], caller)

    def on_pdu(self, event: Event) -> None:
        """EVT_PDU_RECV: abort what would cost more memory or time than it may."""
        if not isinstance(event.pdu, P_DATA_TF) or event.assoc in self._aborted:
            return
        excess = self._excess(event.assoc)
        if excess is not None:
            self._abort(event.assoc, excess)

    def may_go_on(self, association: Association, began: float, size: int) -> bool:
        """Whether a C-STORE request may go on, which `began` (monotonic) and has `size` bytes.

        Otherwise its association is aborted.
        """
        if size > self._limits.instance_bytes:
            self._abort(
                association, f"an instance of more than {self._limits.instance_bytes} bytes"
            )
        elif time.monotonic() - began > self._limits.message_s:
            self._abort(association, self._too_slow())
        return association not in self._aborted

    def _is_own_check(self, association: Association, caller: Caller) -> bool:
        """Whether this machine calls itself under the listener's AE title, as the doctor does."""
        return caller.calling_ae_title == self._access.ae_title and caller.address == local_address(
            association
        )

    def _abort(self, association: Association, reason: str) -> None:
        if association in self._aborted:
            return
        self._aborted.add(association)
        _log.error(
            "association_aborted",
            association=self.association_id(association),
            reason=reason,
            peer=association.requestor.address,
        )
        let_linger(association)
        association.abort(block=False)

    def _too_slow(self) -> str:
        return f"a message that takes longer than {self._limits.message_s:g} s"

    def _excess(self, association: Association) -> str | None:
        message = association.dimse.message
        now = time.monotonic()
        if message is None:
            self._message_began[association] = now
            if association.dimse.msg_queue.qsize() >= _UNANSWERED_CAP:
                return "requests sent without waiting for the answers"
            return None
        if now - self._message_began.get(association, now) > self._limits.message_s:
            return self._too_slow()
        if message.encoded_command_set.tell() > _COMMAND_SET_CAP:
            return f"a command set of more than {_COMMAND_SET_CAP} bytes"
        if message.data_set is not None and message.data_set.tell() > _IN_MEMORY_CAP:
            return f"a data set of more than {_IN_MEMORY_CAP} bytes that is no instance"
        return None


def _ae(association: Association) -> ListenerAE:
    return cast(ListenerAE, association.ae)


def _caller(association: Association) -> Caller:
    request = cast(A_ASSOCIATE, association.requestor.primitive)
    return Caller(
        calling_ae_title=str(request.calling_ae_title).strip(),
        called_ae_title=str(request.called_ae_title).strip(),
        address=association.requestor.address,
        certificate_names=caller_certificate(association),
    )


def _lacks_transfer_syntax(association: Association) -> bool:
    """Whether a proposed presentation context has none; PS3.8 9.3.2.2 demands one."""
    request = cast(A_ASSOCIATE, association.requestor.primitive)
    contexts = request.presentation_context_definition_list
    return not all(context.transfer_syntax for context in contexts)


def _reject(association: Association, result: int, source: int, diagnostic: int) -> None:
    let_linger(association)
    association.acse.send_reject(result, source, diagnostic)
    # Waits for the rejection to go out; pynetdicom closes the socket right after its handlers.
    association.kill()


def _log_admission(association_id: str, caller: Caller) -> None:
    _log.info(
        "association_accepted",
        association=association_id,
        calling_ae_title=caller.calling_ae_title,
        called_ae_title=caller.called_ae_title,
        address=caller.address,
    )


def _log_refusal(caller: Caller, refusal: Refusal) -> None:
    _log.warning(
        "association_rejected",
        reason=refusal.detail,
        calling_ae_title=caller.calling_ae_title,
        called_ae_title=caller.called_ae_title,
        address=caller.address,
        certificate_names=caller.certificate_names,
        to_admit=None if refusal.reason is Reason.CALLED_AE_TITLE else toml_to_admit(caller),
    )
