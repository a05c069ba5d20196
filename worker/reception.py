"""The listener as the settings want it: allow-list, ports, limits. Starts nothing."""

from dicom_node.access import AccessList, Peer
from dicom_node.commitment import CommitmentProvider
from dicom_node.commitment_scu import OnReport
from dicom_node.listener_guard import ListenerLimits
from dicom_node.listener_tls import TlsCredentials, TlsFiles
from dicom_node.receiver import Sink
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp, TlsPort
from worker.composition import MIB
from worker.settings import ListenerSettings, PeerSettings, Settings


def make_listener(
    settings: Settings,
    spool: Spool,
    sink: Sink,
    *,
    reuse_port: bool = False,
    commitments: CommitmentProvider | None = None,
    on_report: OnReport | None = None,
) -> StorageScp:
    """A listener that isn't started yet. Raises TlsSetupError when its certificate is unusable."""
    listener = settings.listener
    return StorageScp(
        ae_title=listener.ae_title,
        host=listener.host,
        port=listener.port if listener.plain else None,
        tls=tls_port(listener),
        spool=spool,
        sink=sink,
        access=access_list(settings),
        limits=ListenerLimits(
            associations_per_peer=listener.maximum_associations_per_peer,
            instance_bytes=settings.limits.maximum_instance_mib * MIB,
        ),
        maximum_associations=listener.maximum_associations,
        reuse_port=reuse_port,
        commitments=commitments,
        on_report=on_report,
    )


def access_list(settings: Settings) -> AccessList:
    """Who may call."""
    return AccessList(
        settings.listener.ae_title,
        tuple(_peer(peer) for peer in settings.peers),
        allow_any=settings.listener.allow_any_peer,
    )


def tls_port(listener: ListenerSettings) -> TlsPort | None:
    """The TLS port, if there is a certificate for it."""
    tls = listener.tls
    if tls.certificate is None or tls.key is None or tls.authority is None:
        return None
    return TlsPort(tls.port, TlsCredentials(TlsFiles(tls.certificate, tls.key, tls.authority)))


def _peer(settings: PeerSettings) -> Peer:
    return Peer(
        name=settings.name,
        ae_title=settings.ae_title,
        networks=settings.networks,
        roles=frozenset(settings.roles),
        called_ae_titles=settings.called_ae_titles,
        certificate_names=settings.certificate_names,
    )
