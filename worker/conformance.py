"""`fracture-screen conformance`: the DICOM conformance statement (PS3.2) of the settings in force.

Everything in it is read from what the code uses: SOP classes, transfer syntaxes, limits, statuses.
"""

from collections.abc import Iterable, Sequence
from importlib.metadata import version

from pydicom.uid import UID, EncapsulatedPDFStorage, SecondaryCaptureImageStorage
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from dicom_node import commitment, errors, listener_transport, receiver, storage_scp
from dicom_node.listener_tls import CIPHERS
from dicom_node.retrieve import RETRIEVE_STATUSES
from dicom_node.retry_classes import RetryClass, store_retry
from dicom_node.sop_classes import (
    RADIOGRAPH_SOP_CLASSES,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
)
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from worker.settings import Destination, PeerSettings, RetentionSettings, Retrieval, Settings

STORE_STATUSES: tuple[tuple[int, str, str], ...] = (
    (0x0000, "Success", "The instance is durable, or was already, with the same content."),
    (
        receiver.STATUS_OF_RECEIPT[receiver.Receipt.CONFLICT],
        "Failure: duplicate SOP Instance",
        "Another content is known under this UID; the new one is kept apart for a person.",
    ),
    (storage_scp.NOT_AUTHORISED, "Failure: not authorised", "The peer has no role `store`."),
    (
        receiver.OUT_OF_RESOURCES,
        "Failure: out of resources",
        "Disk or database cannot take it now; send it again later.",
    ),
    (
        errors.DATA_SET_MISMATCH,
        "Failure: data set does not match SOP class",
        "SOP Class or Instance UID differs from the request.",
    ),
    (
        errors.CANNOT_UNDERSTAND,
        "Failure: cannot understand",
        "Truncated, malformed, nested too deep or with an invalid UID; the Error Comment says.",
    ),
)
"""C-STORE responses (PS3.4 table B.2-1)."""

COMMITMENT_STATUSES: tuple[tuple[int, str], ...] = (
    (commitment.SUCCESS, "The request is durable; the report follows."),
    (commitment.NO_SUCH_INSTANCE, "Not the well-known instance."),
    (commitment.INVALID_ARGUMENT, "No valid Transaction UID, or no reference, or too many."),
    (commitment.NO_SUCH_ACTION, "Another Action Type ID than 1."),
    (storage_scp.NOT_AUTHORISED, "The peer has no role `store`."),
    (commitment.RESOURCE_LIMITATION, "The request could not be made durable."),
)
"""N-ACTION responses (PS3.4 J.3.2)."""

QUERY_KEYS: tuple[tuple[str, str, str], ...] = (
    ("all", "Specific Character Set", "ISO_IR 192"),
    ("STUDY", "Study Date", "a range of days"),
    ("STUDY", "Study Time", "a range within one day; empty for whole days"),
    ("STUDY", "Modalities in Study", "one of those wanted"),
    ("STUDY", "Study Instance UID", "empty: asked for"),
    ("SERIES", "Study Instance UID", "of the study"),
    ("SERIES", "Series Instance UID", "empty: asked for"),
    ("SERIES", "Modality", "empty: asked for"),
    ("SERIES", "Body Part Examined", "empty: asked for"),
    ("SERIES", "Series Description", "empty: asked for"),
    ("SERIES", "Institution Name", "empty: asked for"),
    ("IMAGE", "Study Instance UID", "of the study"),
    ("IMAGE", "Series Instance UID", "of the series"),
    ("IMAGE", "SOP Instance UID", "empty: asked for"),
)
"""Keys of a C-FIND (PS3.4 C.6.2.1), as `dicom_node.query` sends them."""


def conformance_statement(settings: Settings) -> str:
    """Markdown, in the order of PS3.2 annex A. The same settings give the same text."""
    parts = [
        _overview(),
        _application_entities(settings),
        _storage_scp(settings),
        _commitment_scp(settings),
        _storage_scu(settings),
        _commitment_scu(settings),
        _query_scu(),
        _retrieve_scu(settings),
        _network(settings),
        _peers(settings),
        _security(settings),
        _character_sets(),
    ]
    return "\n".join(parts)


def _overview() -> str:
    rows = [
        ("Verification", Verification, "yes", "yes"),
        ("Storage of all storage SOP classes", "see 2.1.1", "no", "yes"),
        ("Secondary Capture Image Storage", SecondaryCaptureImageStorage, "yes", "yes"),
        ("Encapsulated PDF Storage", EncapsulatedPDFStorage, "yes", "yes"),
        ("Storage Commitment Push Model", StorageCommitmentPushModel, "yes", "yes"),
        (
            "Study Root Query/Retrieve Information Model – FIND",
            StudyRootQueryRetrieveInformationModelFind,
            "yes",
            "no",
        ),
        (
            "Study Root Query/Retrieve Information Model – MOVE",
            StudyRootQueryRetrieveInformationModelMove,
            "yes",
            "no",
        ),
        (
            "Study Root Query/Retrieve Information Model – GET",
            StudyRootQueryRetrieveInformationModelGet,
            "yes",
            "no",
        ),
    ]
    return "\n".join(
        [
            "# DICOM conformance statement",
            "",
            "Written by `fracture-screen conformance` from the settings in force. Research use "
            "only, not a medical device.",
            "",
            f"Product: Fracture Screen {version('fracture-screen')}. Implementation Class UID "
            f"`{IMPLEMENTATION_CLASS_UID}`, Implementation Version Name "
            f"`{IMPLEMENTATION_VERSION_NAME}`.",
            "",
            "## 1 Overview",
            "",
            _table(("SOP class", "UID", "user (SCU)", "provider (SCP)"), rows),
            "",
            "Transfer syntaxes that inflate (Deflated) and big endian are not offered. Query and "
            "retrieve are used (2.5, 2.6), not provided.",
            "",
        ]
    )


def _application_entities(settings: Settings) -> str:
    listener = settings.listener
    rows = [
        (
            "Listener",
            listener.ae_title,
            "Verification SCP, Storage SCP, Storage Commitment SCP; takes reports of "
            "destinations' storage commitment",
        ),
        (
            "Sender",
            settings.delivery.calling_ae_title,
            "Storage SCU, Storage Commitment SCU, Query (Study Root FIND) SCU",
        ),
        (
            "Sweeper",
            settings.delivery.calling_ae_title,
            "Query (Study Root FIND) SCU, Retrieve (Study Root MOVE or GET) SCU, Storage SCP of "
            "what it gets",
        ),
    ]
    return "\n".join(
        ["## 2 Application entities", "", _table(("AE", "AE title", "services"), rows), ""]
    )


def _storage_scp(settings: Settings) -> str:
    classes = [
        (UID(each).name, each, "yes" if each in RADIOGRAPH_SOP_CLASSES else "no")
        for each in STORAGE_SOP_CLASSES
    ]
    syntaxes = [(UID(each).name, each) for each in TRANSFER_SYNTAXES]
    statuses = [(f"0x{code:04X}", meaning, when) for code, meaning, when in STORE_STATUSES]
    return "\n".join(
        [
            "### 2.1 Storage SCP",
            "",
            "Level 2 (full): data sets are kept byte for byte as received. 0x0000 is answered "
            "once file and database row are durable. Instances of at most "
            f"{settings.limits.maximum_instance_mib} MiB are taken; a larger one ends its "
            "association.",
            "",
            "#### 2.1.1 SOP classes",
            "",
            _table(("SOP class", "UID", "analysed"), classes),
            "",
            "#### 2.1.2 Transfer syntaxes, of every storage SOP class",
            "",
            _table(("transfer syntax", "UID"), syntaxes),
            "",
            "#### 2.1.3 Statuses of C-STORE",
            "",
            _table(("status", "meaning", "when"), statuses),
            "",
            "Any other operation on one of these SOP classes is answered with A-ABORT.",
            "",
        ]
    )


def _commitment_scp(settings: Settings) -> str:
    statuses = [(f"0x{code:04X}", when) for code, when in COMMITMENT_STATUSES]
    own = [_called_back(peer) for peer in settings.peers if peer.remote]
    where = (
        f"on a new association to {', '.join(own)}; to other peers "
        if own
        else "where a peer's host and port are set, on a new association to it, by TLS if its "
        "tls_ca_file or tls_pinned_sha256 is set; otherwise "
    )
    return "\n".join(
        [
            "### 2.2 Storage Commitment SCP",
            "",
            "A request outlives a restart. The report says per instance whether it is registered "
            "under its SOP class and its file is there in full size. It is sent "
            f"{where}on the association of the request, and again for up to 24 h until it is "
            "taken.",
            "",
            _how_long_kept(settings.retention),
            "",
            _table(("status of N-ACTION", "when"), statuses),
            "",
        ]
    )


def _how_long_kept(retention: RetentionSettings) -> str:
    if not retention.instances_days:
        return "No instance is ever removed (retention.instances_days is 0)."
    for_training = "" if retention.reviewed_instances else ", if no reader reviewed it"
    return (
        f"An instance is kept for {retention.instances_days} days after its study was screened, "
        f"then removed once all results are delivered{for_training} (retention.instances_days). "
        "One that was removed fails with 0x0112; sent again, it is taken again."
    )


def _called_back(peer: PeerSettings) -> str:
    return f"{peer.name} ({'TLS' if peer.outbound_tls else 'plain TCP'})"


def _storage_scu(settings: Settings) -> str:
    heads = ("destination", "AE title", "host", "port", "TLS", "confirmation")
    return "\n".join(
        [
            "### 2.3 Storage SCU",
            "",
            "Sends Secondary Capture images and Encapsulated PDF documents in Explicit VR Little "
            "Endian, or Implicit VR Little Endian where a destination takes no other.",
            "",
            _table(("answer to a C-STORE", "statuses"), _store_answers()),
            "",
            _table(heads, [_destination(each) for each in settings.destinations]),
            "",
        ]
    )


def _destination(each: Destination) -> tuple[object, ...]:
    tls = "yes" if each.outbound_tls else "no"
    confirmation = "storage commitment" if each.commitment else "none"
    if each.read_back:
        confirmation = "C-FIND"
    return (each.name, each.ae_title, each.host, each.port, tls, confirmation)


def _commitment_scu(settings: Settings) -> str:
    delivery = settings.delivery
    return "\n".join(
        [
            "### 2.4 Storage Commitment SCU",
            "",
            "Where a destination's `commitment` is set: one N-ACTION (Action Type ID 1) per study "
            "and destination once its results are stored. The N-EVENT-REPORT (Event Type ID 1 or "
            "2) is taken on the association of the request, which stays open for 2 s, or later on "
            "one that the destination opens to the Listener, proposing the SCP role. Without a "
            f"report it is asked again after {delivery.confirmation_timeout_s:g} s, under a new "
            f"Transaction UID, {delivery.confirmation_tries} times at most.",
            "",
        ]
    )


def _query_scu() -> str:
    return "\n".join(
        [
            "### 2.5 Query SCU",
            "",
            "Study Root C-FIND in Implicit VR Little Endian, hierarchical. Where a destination's "
            "`read_back` is set: one per series of results, at level IMAGE; a result that is found "
            "counts as kept, one that is missing is looked for again, as often as a storage "
            "commitment. For sweeps: studies of a period, then of each its series and their "
            "instances. After a source's `most_answers` a C-CANCEL is sent, and after that or "
            "0xA700 half the period is asked for.",
            "",
            _table(("level", "key", "value"), QUERY_KEYS),
            "",
        ]
    )


def _retrieve_scu(settings: Settings) -> str:
    heads = ("source", "AE title", "host", "port", "TLS", "retrieval")
    rows = [
        (
            each.name,
            each.ae_title,
            each.host,
            each.port,
            "yes" if each.outbound_tls else "no",
            "C-MOVE" if each.retrieval is Retrieval.MOVE else "C-GET",
        )
        for each in settings.sources
    ]
    statuses = [(f"0x{code:04X}", meaning) for code, meaning in RETRIEVE_STATUSES.items()]
    return "\n".join(
        [
            "### 2.6 Retrieve SCU",
            "",
            "Study Root C-MOVE or C-GET in Implicit VR Little Endian, one request per series "
            "(level SERIES), or for some of its instances (level IMAGE, a list of UIDs). The "
            f"move destination is the Listener, {settings.listener.ae_title}. For C-GET the "
            "radiograph storage classes of 2.1.1 are proposed in the SCP role, one presentation "
            "context per transfer syntax of 2.1.2. What counts is what is registered, not the "
            "numbers of sub-operations; what is missing is asked for again.",
            "",
            _table(heads, rows) if rows else "No sources are set.",
            "",
            _table(("final status", "taken to mean"), statuses),
            "",
        ]
    )


def _store_answers() -> list[tuple[str, str]]:
    by_class: dict[RetryClass, list[int]] = {each: [] for each in RetryClass}
    for status in range(0x10000):
        by_class[store_retry(status)].append(status)
    named = (RetryClass.SUCCESS, RetryClass.WARNING, RetryClass.PERMANENT)
    rows = [(each.value, _ranges(by_class[each])) for each in named]
    return [*rows, (f"{RetryClass.TRANSIENT.value}, sent again later", "all others, and none")]


def _ranges(statuses: Sequence[int]) -> str:
    """Consecutive ones as first to last."""
    known = frozenset(statuses)
    starts = [each for each in statuses if each - 1 not in known]
    ends = [each for each in statuses if each + 1 not in known]
    return ", ".join(
        f"0x{first:04X}" if first == last else f"0x{first:04X} to 0x{last:04X}"
        for first, last in zip(starts, ends, strict=True)
    )


def _network(settings: Settings) -> str:
    listener = settings.listener
    rows = [
        ("plain TCP port", listener.port if listener.plain else "closed"),
        ("TLS port", listener.tls.port if listener.tls.certificate else "closed"),
        ("listener processes", listener.processes),
        ("associations at once, per process", listener.maximum_associations),
        ("associations of one address", listener.maximum_associations_per_peer),
        ("maximum PDU received", "131072 bytes"),
        ("association PDU, at most", f"{listener_transport.ASSOCIATION_PDU_CAP} bytes"),
        ("A-ASSOCIATE-RQ within", f"{listener_transport.REQUEST_DEADLINE_S} s (ARTIM)"),
        ("TLS handshake within", f"{listener_transport.HANDSHAKE_DEADLINE_S} s"),
        ("a PDU within", f"{listener_transport.PDU_DEADLINE_S} s"),
        ("asynchronous operations", "none: one outstanding operation"),
    ]
    return "\n".join(["## 3 Network", "", _table(("", "value"), rows), ""])


def _peers(settings: Settings) -> str:
    if settings.listener.allow_any_peer:
        text = "Every caller is admitted to everything (`listener.allow_any_peer`)."
    elif not settings.peers:
        text = (
            "No peers are set: callers on this machine (loopback) are admitted, whatever AE title "
            "they call; all others are rejected."
        )
    else:
        heads = ("peer", "AE title", "networks", "calls", "roles", "certificate")
        text = _table(heads, [_peer(peer, settings) for peer in settings.peers])
    return "\n".join(
        [
            "### 3.1 Peers",
            "",
            text,
            "",
            "Who does not match is rejected (A-ASSOCIATE-RJ, permanent, service user): calling AE "
            "title not recognised (3), called AE title not recognised (7). Too many associations: "
            "transient, local limit exceeded (2); too little disk space: transient, temporary "
            "congestion (1).",
            "",
        ]
    )


def _peer(peer: PeerSettings, settings: Settings) -> tuple[str, ...]:
    return (
        peer.name,
        peer.ae_title,
        ", ".join(map(str, peer.networks)),
        ", ".join(peer.called_ae_titles or (settings.listener.ae_title,)),
        ", ".join(peer.roles),
        ", ".join(peer.certificate_names) or f"{peer.ae_title}, on the TLS port",
    )


def _security(settings: Settings) -> str:
    state = "open" if settings.listener.tls.certificate else "closed"
    return "\n".join(
        [
            "## 4 Security",
            "",
            f"The TLS port is {state}. Profile: BCP 195 TLS Secure Transport Connection (PS3.15 "
            f"B.9, B.12): TLS 1.2 (cipher suites {CIPHERS}) or TLS 1.3, both sides with "
            "certificates, the caller's bound to its AE title. No session tickets, renegotiation "
            "or compression. Certificates are read again when their files change.",
            "",
            "Destinations, and peers that are called back, are called by the same profile where "
            "their `tls_ca_file` or `tls_pinned_sha256` is set: their certificate must be of that "
            "authority and bear their name, or be the pinned one; there is no way back to plain "
            "TCP.",
            "",
        ]
    )


def _character_sets() -> str:
    return "\n".join(
        [
            "## 5 Character sets",
            "",
            "Received data sets are kept as they are. Result objects repeat the Specific "
            "Character Set of the radiograph that they are of.",
            "",
        ]
    )


def _table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(each) for each in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
