"""What is known of a received instance and of a remote AE; plain values, no behaviour."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """One instance that lies durably in the spool.

    `path` is absolute or as given by the spool; `sha256` is the hex digest and `size` the length in
    bytes of the whole file. `is_own_result`: we made it, and a PACS routed it back.
    `association_id` tells in the log on which association of our listener it came; empty: on none.
    `patient_and_study`: the text elements that say whose study it is, as
    `dicom_node.study_elements` encodes them; patient data, so no part of the instance's repr.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    path: Path
    sha256: str
    size: int
    is_own_result: bool = False
    association_id: str = ""
    patient_and_study: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OutboundTls:
    """How a remote AE proves itself to us over TLS, and we to it.

    Its certificate is signed by an authority of `ca_file` and bears `host_name` (None: the host
    that is called); or it is the very one whose DER has the SHA-256 `pinned_sha256` (hexadecimal),
    and then neither authority nor name is looked at. Files are PEM.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    host_name: str | None = None
    pinned_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteAE:
    """A remote application entity: AE title (1 to 16 characters), host name or address, port.

    `tls` None: plain TCP.
    """

    ae_title: str
    host: str
    port: int
    tls: OutboundTls | None = None
