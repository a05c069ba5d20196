"""Remote AEs: association and C-ECHO, C-FIND, a test object stored, confirmed, sent back."""

import secrets
from pathlib import Path
from tempfile import TemporaryDirectory

from dicom_node.commitment_scu import CommitmentReport, request_commitment
from dicom_node.errors import AssociationFailed, TooManyAnswers
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.query import Period, find_instances, querying
from dicom_node.receiver import Receipt, Receiver
from dicom_node.retrieve import Retrieved, Wanted, get, move
from dicom_node.retry_classes import TransportProblem
from dicom_node.spool import Spool
from dicom_node.storage_scu import echo, send_instances
from dicom_node.uids import probe_transaction_uid
from worker.composition import MIB
from worker.destinations import remote_of
from worker.doctor.finding import Verdict, failed, ok, skipped, warning
from worker.doctor.probe_object import ProbeObject, write_probe_radiograph, write_probe_result
from worker.doctor.site import Site
from worker.settings import Destination, Retrieval, SourceSettings

_CONFIRMATION_WAIT_S = 5.0
ECHO_REMEDIES = {
    TransportProblem.NO_CONNECTION: "Check host and port in the settings, that it runs, and the "
    "firewalls between.",
    TransportProblem.TLS_FAILED: "See the check of its TLS.",
    TransportProblem.REJECTED_TRANSIENT: "It is busy: its administrator has to allow more "
    "associations.",
    TransportProblem.REJECTED_PERMANENT: "Correct ae_title, or have its administrator enter our "
    "calling AE title and this machine's address.",
    TransportProblem.NO_CONTEXT: "Its administrator has to allow us Verification (C-ECHO).",
    TransportProblem.TIMED_OUT: "It accepts connections and says nothing: restart it, or look for "
    "a firewall that swallows packets.",
}
"""What to do where no association came about."""
_BROKEN = "It ended the association: see its log for why."


def budget_s(timeout_s: float, exchanges: int) -> float:
    """Seconds that a check may take: each exchange connects, associates and asks."""
    return 3 * timeout_s * exchanges + _CONFIRMATION_WAIT_S


def look_at_echo(site: Site, remote: RemoteAE, calling: str | None) -> Verdict:
    """An association and C-ECHO."""
    name = site.calling(calling)
    try:
        found = echo(remote, calling_ae_title=name, timeout_s=site.timeout_s)
    except AssociationFailed as error:
        return failed(str(error), ECHO_REMEDIES.get(error.problem, _BROKEN))
    program = f" ({found.version_name})" if found.version_name else ""
    return ok(f"{remote.ae_title} at {remote.host}:{remote.port}{program} answers {name}")


def look_at_find(site: Site, source: SourceSettings) -> Verdict:
    """C-FIND for today's studies; they are counted, not told."""
    now = site.clock().astimezone(site.settings.sweep.zone).replace(tzinfo=None)
    today = Period(now.replace(hour=0, minute=0), now.replace(hour=23, minute=59))
    try:
        with querying(
            source.remote,
            calling_ae_title=site.calling(source.calling_ae_title),
            timeout_s=site.timeout_s,
            most_answers=source.most_answers,
        ) as queries:
            found = len(queries.studies(today))
    except TooManyAnswers:
        return ok(f"answers; {source.most_answers} studies of today or more")
    except AssociationFailed as error:
        return failed(
            str(error),
            "Its administrator has to allow our calling AE title C-FIND, Study Root.",
        )
    return ok(f"answers; {found} studies of today")


def look_at_store(site: Site, destination: Destination) -> Verdict:
    """A test object: stored, and confirmed in the way of the settings."""
    if not site.store:
        return skipped("stores a test object: only with --store")
    with TemporaryDirectory(prefix="fracture-screen-") as folder:
        probe = write_probe_result(Path(folder), destination.ae_title, site.clock())
        remote, calling = remote_of(destination), site.calling(destination.calling_ae_title)
        refused = _stored(site, remote, calling, probe)
        return refused or _confirmed(site, destination, calling, probe)


def look_at_retrieve(site: Site, source: SourceSettings) -> Verdict:
    """A test object: stored at the source, and sent back in the way of the settings."""
    if not site.retrieve:
        return skipped("stores a test object and has it sent back: only with --move")
    calling = site.calling(source.calling_ae_title)
    with TemporaryDirectory(prefix="fracture-screen-") as name:
        probe = write_probe_radiograph(Path(name), source.ae_title, site.clock())
        refused = _stored(site, source.remote, calling, probe)
        if refused is not None:
            return refused
        try:
            if source.retrieval is Retrieval.MOVE:
                return judge_move(_moved(site, source, calling, probe), site)
            return _got(site, source, calling, probe, Path(name) / "got")
        except AssociationFailed as error:
            return failed(str(error), "Its administrator has to allow us to retrieve (C-MOVE).")


def judge_move(answer: Retrieved, site: Site) -> Verdict:
    """By the answer of the source to C-MOVE."""
    listener = site.settings.listener
    if not answer.problem and answer.completed:
        return ok(f"it sent a test object back to {listener.ae_title}")
    return failed(
        answer.problem or "it says that all went well, and sent nothing",
        f"Have its administrator enter the move destination {listener.ae_title} with this "
        f"machine's address and port {listener.port}; the listener has to run, and [[peers]] has "
        "to admit the source to store.",
    )


def _stored(site: Site, remote: RemoteAE, calling: str, probe: ProbeObject) -> Verdict | None:
    """None: it took the object without a remark."""
    (result,) = send_instances(
        remote, [probe.path], calling_ae_title=calling, timeout_s=site.timeout_s
    )
    if result.warning:
        return warning(
            f"it took a test object and remarked: {result.error}",
            "See its log for what it changed or did not understand.",
        )
    if not result.stored:
        return failed(
            f"it did not take a test object: {result.error}",
            "Its administrator has to allow us to store, with the SOP classes of "
            "`fracture-screen conformance`; else see its log and the room on its disk.",
        )
    return None


def _confirmed(site: Site, destination: Destination, calling: str, probe: ProbeObject) -> Verdict:
    try:
        if destination.commitment:
            return _committed(site, destination, calling, probe)
        if destination.read_back:
            return _read_back(site, destination, calling, probe)
    except AssociationFailed as error:
        return failed(
            f"it took a test object, but cannot be asked whether it keeps it: {error}",
            "Have its administrator allow us storage commitment (or C-FIND, for read_back), or "
            "set commitment or read_back to false.",
        )
    return ok("it took a test object; the settings ask for no confirmation")


def _committed(site: Site, destination: Destination, calling: str, probe: ProbeObject) -> Verdict:
    reports: list[CommitmentReport] = []

    def keep(report: CommitmentReport) -> bool:
        reports.append(report)
        return True

    request_commitment(
        remote_of(destination),
        [(probe.sop_class_uid, probe.sop_instance_uid)],
        probe_transaction_uid(secrets.randbits(62)),
        keep,
        calling_ae_title=calling,
        timeout_s=site.timeout_s,
        wait_s=_CONFIRMATION_WAIT_S,
    )
    if not reports:
        return ok(
            "it took a test object and our request to keep it; its answer goes to the listener"
        )
    if probe.sop_instance_uid in reports[0].kept:
        return ok("it took a test object and commits itself to keep it")
    return failed(
        "it took a test object, but says that it does not keep it",
        "See its log: a rule may delete or move what arrives.",
    )


def _read_back(site: Site, destination: Destination, calling: str, probe: ProbeObject) -> Verdict:
    found = find_instances(
        remote_of(destination),
        [(probe.study_instance_uid, probe.series_instance_uid)],
        calling_ae_title=calling,
        timeout_s=site.timeout_s,
    )
    if probe.sop_instance_uid in found:
        return ok("it took a test object and finds it")
    return failed(
        "it took a test object, but does not find it by C-FIND",
        "It may take a while to index it: run the doctor again; else see its log.",
    )


def _moved(site: Site, source: SourceSettings, calling: str, probe: ProbeObject) -> Retrieved:
    return next(
        move(
            source.remote,
            [_wanted(probe)],
            to_ae_title=site.settings.listener.ae_title,
            calling_ae_title=calling,
            timeout_s=site.timeout_s,
        )
    )


def _got(
    site: Site, source: SourceSettings, calling: str, probe: ProbeObject, folder: Path
) -> Verdict:
    came: list[str] = []

    def take(instance: ReceivedInstance) -> Receipt:
        came.append(instance.sop_instance_uid)
        return Receipt.ACCEPTED

    answer = next(
        get(
            source.remote,
            [_wanted(probe)],
            receiver=Receiver(Spool(folder), take),
            calling_ae_title=calling,
            timeout_s=site.timeout_s,
            largest_bytes=site.settings.limits.maximum_instance_mib * MIB,
        )
    )
    if probe.sop_instance_uid in came:
        return ok("it sent a test object back by C-GET")
    return failed(
        answer.problem or "it says that all went well, and sent nothing",
        "Its administrator has to allow us C-GET; else set retrieval to move.",
    )


def _wanted(probe: ProbeObject) -> Wanted:
    return Wanted(probe.study_instance_uid, probe.series_instance_uid, (probe.sop_instance_uid,))
