"""Receivers of messages: TCP and TLS alone; `fracture-screen flags check` sends a test message."""

from urllib.parse import urlsplit

from worker.doctor.finding import Verdict, failed, ok
from worker.doctor.remote_tls import Address, connect, look_at_tls, not_reached, shake_hands
from worker.doctor.site import Site
from worker.settings import Hl7Receiver, WebhookReceiver
from worklist.flags.webhook import tls_context

_HINT = "`fracture-screen flags check` sends a test message"


def look_at_hl7(site: Site, receiver: Hl7Receiver) -> Verdict:
    """Its port, by TLS where the settings say so."""
    address = Address(receiver.host, receiver.port)
    if receiver.outbound_tls is None:
        return _look_at_port(site, address)
    return look_at_tls(receiver.outbound_tls, address, site.timeout_s, site.clock())


def look_at_webhook(site: Site, receiver: WebhookReceiver) -> Verdict:
    """The port of its address, with the authorities and the certificate of the settings."""
    address, is_tls = address_of(receiver.url)
    if not is_tls:
        return _look_at_port(site, address)
    try:
        context = tls_context(
            receiver.tls_ca_file, receiver.tls_certificate_file, receiver.tls_key_file
        )
    except OSError as error:
        return failed(
            f"its TLS files cannot be used ({error.strerror or type(error).__name__})",
            "The checks of certificates and keys say which file it is.",
        )
    return shake_hands(address, context, address.host, site.timeout_s, site.clock())


def look_at_alarm_webhook(site: Site) -> Verdict:
    """Likewise of monitor.alarm_webhook, with the authorities of the operating system."""
    address, is_tls = address_of(site.settings.monitor.alarm_webhook)
    if not is_tls:
        return _look_at_port(site, address)
    context = tls_context(None, None, None)
    return shake_hands(address, context, address.host, site.timeout_s, site.clock())


def address_of(url: str) -> tuple[Address, bool]:
    """Host and port of an address, and whether it is one of TLS."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    return Address(parts.hostname or "", parts.port or (443 if is_tls else 80)), is_tls


def _look_at_port(site: Site, address: Address) -> Verdict:
    try:
        connect(address, site.timeout_s).close()
    except OSError as error:
        return not_reached(address, error)
    return ok(f"{address} takes connections; {_HINT}")
