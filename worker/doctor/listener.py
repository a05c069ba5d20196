"""The listener: ours answers at its ports; or it does not run, and the ports are free for it."""

import socket
import time
from pathlib import Path

from dicom_node.access import Admission, Caller
from dicom_node.errors import AssociationFailed
from dicom_node.instance import OutboundTls, RemoteAE
from dicom_node.retry_classes import TransportProblem
from dicom_node.storage_scu import Implementation, echo
from dicom_node.uids import IMPLEMENTATION_CLASS_UID
from worker.doctor.finding import Verdict, failed, ok, warning
from worker.doctor.remote_tls import Address, connect, look_at_tls
from worker.doctor.site import Site
from worker.doctor.x509 import certificates_of
from worker.monitor_parts import listener_address
from worker.reception import access_list
from worker.settings import Settings

_TAKEN = (
    "See who has the port (`ss -ltnp`): end that program, or set another port, which modalities "
    "have to be told."
)
_STOPPED = warning(
    "not running; its port is free",
    "Start it: `fracture-screen up`, or `fracture-screen listen` as a service of its own.",
)


def look_at_listener(site: Site) -> Verdict:
    """The plain port: open, and our own program answers C-ECHO under our AE title."""
    settings, listener = site.settings, site.settings.listener
    address = Address(*listener_address(settings))
    try:
        connection = connect(address, site.timeout_s)
    except OSError:
        return _not_open(listener.host, listener.port)
    with connection:
        from_address = str(connection.getsockname()[0])
    # The listener knows that this is no peer's call and does not warn of an unknown caller.
    calling = listener.ae_title
    try:
        found = _echo_patiently(RemoteAE(listener.ae_title, *address), calling, site.timeout_s)
    except AssociationFailed as error:
        return _judge_refusal(settings, Caller(calling, listener.ae_title, from_address), error)
    return judge_answer(found, address, listener.ae_title)


def look_at_tls_port(site: Site, certificate: Path) -> Verdict:
    """Open, and it presents the certificate of the settings."""
    listener = site.settings.listener
    address = Address(listener_address(site.settings)[0], listener.tls.port)
    try:
        connect(address, site.timeout_s).close()
    except OSError:
        return _not_open(listener.host, listener.tls.port)
    own = certificates_of(certificate.read_text("ascii"))[0]
    tls = OutboundTls(
        certificate_file=certificate,
        key_file=listener.tls.key,
        pinned_sha256=own.sha256,
    )
    verdict = look_at_tls(tls, address, site.timeout_s, site.clock())
    if "pinned" in verdict.found:
        return failed(
            f"{address} presents another certificate than {certificate}",
            f"{_TAKEN} If it is our listener: its log says why it did not take the new files "
            "(certificates_not_reloaded).",
        )
    if "no TLS connection" in verdict.found:
        return failed(verdict.found, _TAKEN)
    return verdict


def judge_answer(found: Implementation, address: Address, ae_title: str) -> Verdict:
    """By what the program that answered says that it is."""
    if found.class_uid == IMPLEMENTATION_CLASS_UID:
        return ok(f"{ae_title} answers C-ECHO at {address}")
    return failed(
        f"another DICOM program ({found.version_name or 'without a name'}) answers at {address}",
        _TAKEN,
    )


def _echo_patiently(remote: RemoteAE, calling: str, timeout_s: float) -> Implementation:
    """C-ECHO; a listener on a busy machine that is silent is asked again, with twice the time."""
    began = time.monotonic()
    try:
        return echo(remote, calling_ae_title=calling, timeout_s=timeout_s)
    except AssociationFailed:
        if time.monotonic() - began < timeout_s:
            raise
    try:
        return echo(remote, calling_ae_title=calling, timeout_s=2 * timeout_s)
    except AssociationFailed as error:
        if time.monotonic() - began < 3 * timeout_s:
            raise
        raise AssociationFailed(str(error), TransportProblem.TIMED_OUT) from error


def _judge_refusal(settings: Settings, caller: Caller, error: AssociationFailed) -> Verdict:
    """[[peers]] need not admit this machine: then a refusal is what is to be expected."""
    expected = not isinstance(access_list(settings).judge(caller), Admission)
    address = Address(*listener_address(settings))
    if error.problem is TransportProblem.REJECTED_TRANSIENT:
        return warning(
            f"{address} takes no more associations now",
            "Look again; if it stays so, raise listener.maximum_associations or "
            "listener.maximum_associations_per_peer, or look who leaves associations open.",
        )
    if error.problem is TransportProblem.TIMED_OUT:
        return failed(
            f"{address} is open, but no DICOM listener answers there: {error}",
            f"If this machine is very busy: `fracture-screen doctor --timeout 60`. Else: {_TAKEN}",
        )
    if error.problem is not TransportProblem.REJECTED_PERMANENT:
        return failed(f"{address} is open, but no DICOM listener answers there: {error}", _TAKEN)
    if expected:
        return ok(
            f"{address} answers, and refuses {caller.calling_ae_title} from {caller.address}, "
            "which is none of the [[peers]]"
        )
    return failed(
        f"{address} refuses us, although the settings admit us",
        f"Restart the listener, if it was started before the settings changed. Else: {_TAKEN}",
    )


def _not_open(host: str, port: int) -> Verdict:
    """Free, as `worker.ports.require_free` tries it."""
    try:
        with socket.create_server((host, port)):
            return _STOPPED
    except PermissionError:
        return failed(
            f"port {port} is closed, and user rights do not allow to open it",
            "Take a port from 1024 on, or give the service CAP_NET_BIND_SERVICE "
            "(AmbientCapabilities= in its systemd unit).",
        )
    except OSError as error:
        return failed(f"{host}:{port} cannot be opened: {error.strerror}", _TAKEN)
