"""The table of contents: every check of a site, in the order in which one depends on another."""

from collections.abc import Callable, Iterator
from functools import partial

from dicom_node.instance import RemoteAE
from worker.destinations import remote_of
from worker.doctor.body_parts import look_at_body_parts
from worker.doctor.broker import look_at_broker
from worker.doctor.certificates import certificate_files, look_at_certificate
from worker.doctor.clock import look_at_clock, look_at_time_zone
from worker.doctor.data_folder import look_at_disk, look_at_file_system, look_at_folder
from worker.doctor.database import look_at_database, look_at_migrations
from worker.doctor.finding import Check, CheckName, Result, Verdict
from worker.doctor.folders import look_at_named_folder, named_folders
from worker.doctor.listener import look_at_listener, look_at_tls_port
from worker.doctor.model import look_at_bundle, look_at_decoder, look_at_inference
from worker.doctor.processes import look_at_monitor, look_at_work
from worker.doctor.receivers import look_at_alarm_webhook, look_at_hl7, look_at_webhook
from worker.doctor.remote_tls import Address, look_at_tls
from worker.doctor.remotes import (
    budget_s,
    look_at_echo,
    look_at_find,
    look_at_retrieve,
    look_at_store,
)
from worker.doctor.settings_file import look_at_secret_file, secret_files
from worker.doctor.site import Site

_MODEL_BUDGET_S = 180.0
"""What they compute takes seconds; on a busy machine, with TensorFlow, minutes."""
_NAMES = {
    "destination": (CheckName.DESTINATION_TLS, CheckName.DESTINATION_ECHO),
    "source": (CheckName.SOURCE_TLS, CheckName.SOURCE_ECHO),
    "peer": (CheckName.PEER_TLS, CheckName.PEER_ECHO),
}


def all_checks(site: Site) -> Iterator[Check]:
    """Of a site whose settings could be read; those are a check of their own."""
    yield from _of_machine(site)
    yield from _of_stores(site)
    yield from _of_certificates(site)
    yield from _of_listener(site)
    yield from _of_destinations(site)
    yield from _of_sources(site)
    yield from _of_peers(site)
    yield from _of_receivers(site)
    yield from _of_model(site)
    yield from _of_processes(site)


def _of_machine(site: Site) -> Iterator[Check]:
    settings = site.settings
    for path, signs in secret_files(settings, site.settings_file):
        yield Check(
            CheckName.SECRET_FILE, partial(look_at_secret_file, path, signs=signs), path.name
        )
    yield Check(CheckName.DATA_FOLDER, partial(look_at_folder, settings))
    needs = (CheckName.DATA_FOLDER,)
    yield Check(CheckName.FILE_SYSTEM, partial(look_at_file_system, settings), needs=needs)
    yield Check(CheckName.DISK, partial(look_at_disk, settings))
    for folder in named_folders(settings):
        yield Check(CheckName.FOLDER, partial(look_at_named_folder, folder), folder.setting)


def _of_stores(site: Site) -> Iterator[Check]:
    settings, budget = site.settings, 3 * site.timeout_s
    yield Check(CheckName.DATABASE, partial(look_at_database, settings), budget_s=budget)
    yield Check(
        CheckName.MIGRATIONS,
        partial(look_at_migrations, settings),
        budget_s=budget,
        needs=(CheckName.DATABASE,),
    )
    yield Check(CheckName.BROKER, partial(look_at_broker, site), budget_s=budget)
    yield Check(CheckName.CLOCK, partial(look_at_clock, site), budget_s=2 * budget)
    yield Check(CheckName.TIME_ZONE, partial(look_at_time_zone, settings))


def _of_certificates(site: Site) -> Iterator[Check]:
    for file in certificate_files(site.settings):
        yield Check(
            CheckName.CERTIFICATE,
            partial(look_at_certificate, file, site.clock()),
            file.used_for,
        )


def _of_listener(site: Site) -> Iterator[Check]:
    listener, budget = site.settings.listener, budget_s(site.timeout_s, 2)
    if listener.plain:
        yield Check(CheckName.LISTENER, partial(look_at_listener, site), budget_s=budget)
    if listener.tls.certificate is not None:
        look = partial(look_at_tls_port, site, listener.tls.certificate)
        yield Check(CheckName.LISTENER_TLS, look, budget_s=budget)


def _of_destinations(site: Site) -> Iterator[Check]:
    for one in site.settings.destinations:
        yield from _of_remote(site, "destination", one.name, remote_of(one), one.calling_ae_title)
        yield Check(
            CheckName.DESTINATION_STORE,
            partial(look_at_store, site, one),
            one.name,
            budget_s(site.timeout_s, 2),
            (CheckName.DESTINATION_ECHO,),
        )


def _of_sources(site: Site) -> Iterator[Check]:
    for one in site.settings.sources:
        yield from _of_remote(site, "source", one.name, one.remote, one.calling_ae_title)
        looks = {
            CheckName.SOURCE_FIND: partial(look_at_find, site, one),
            CheckName.SOURCE_RETRIEVE: partial(look_at_retrieve, site, one),
        }
        for name, look in looks.items():
            budget = budget_s(site.timeout_s, 2)
            yield Check(name, look, one.name, budget, (CheckName.SOURCE_ECHO,))


def _of_peers(site: Site) -> Iterator[Check]:
    for one in site.settings.peers:
        if one.remote is not None:
            yield from _of_remote(site, "peer", one.name, one.remote, None)


def _of_remote(
    site: Site, kind: str, name: str, remote: RemoteAE, calling: str | None
) -> Iterator[Check]:
    tls_name, echo_name = _NAMES[kind]
    budget = budget_s(site.timeout_s, 1)
    if remote.tls is not None:
        address = Address(remote.host, remote.port)
        look = partial(look_at_tls, remote.tls, address, site.timeout_s, site.clock())
        yield Check(tls_name, look, name, budget)
    look = partial(look_at_echo, site, remote, calling)
    yield Check(echo_name, look, name, budget, (tls_name,))


def _of_receivers(site: Site) -> Iterator[Check]:
    budget = budget_s(site.timeout_s, 1)
    for one in site.settings.hl7:
        yield Check(CheckName.RECEIVER, partial(look_at_hl7, site, one), one.name, budget)
    for hook in site.settings.webhooks:
        yield Check(CheckName.RECEIVER, partial(look_at_webhook, site, hook), hook.name, budget)
    if site.settings.monitor.alarm_webhook:
        look = partial(look_at_alarm_webhook, site)
        yield Check(CheckName.RECEIVER, look, "monitor.alarm_webhook", budget)


def _of_model(site: Site) -> Iterator[Check]:
    looks: dict[CheckName, tuple[Callable[[], Verdict], tuple[CheckName, ...]]] = {
        CheckName.BUNDLE: (partial(look_at_bundle, site.settings), ()),
        CheckName.DECODER: (partial(look_at_decoder, site), ()),
        CheckName.INFERENCE: (partial(look_at_inference, site), (CheckName.BUNDLE,)),
    }
    for name, (look, needs) in looks.items():
        yield Check(name, look, budget_s=_MODEL_BUDGET_S, late=Result.WARNING, needs=needs)


def _of_processes(site: Site) -> Iterator[Check]:
    yield Check(CheckName.MONITOR, partial(look_at_monitor, site), budget_s=2 * site.timeout_s)
    needs = (CheckName.DATABASE, CheckName.MIGRATIONS)
    budget = budget_s(site.timeout_s, 1)
    yield Check(CheckName.WORK, partial(look_at_work, site), budget_s=budget, needs=needs)
    look = partial(look_at_body_parts, site.settings)
    yield Check(CheckName.BODY_PARTS, look, budget_s=budget, needs=needs)
