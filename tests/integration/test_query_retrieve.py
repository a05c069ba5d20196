"""C-FIND, C-MOVE and C-GET against two real PACS."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.errors import AssociationFailed, TooManyAnswers
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.query import Period, querying
from dicom_node.receiver import Receipt, Receiver
from dicom_node.retrieve import Wanted, get, move
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import send_instances
from tests.radiographs import Phantom, write_phantom
from tests.servers.dcmqrscp import running_dcmqrscp
from tests.servers.dcmtk import needs_dcmtk
from tests.servers.orthanc import needs_orthanc, running_orthanc

US = "SWEEPER"
DAY = datetime(2026, 3, 4)
WHOLE_DAY = Period(DAY, DAY + timedelta(hours=23, minutes=59))


@dataclass
class Listener:
    """Ours; remembers what it got."""

    received: list[str] = field(default_factory=list)

    def register(self, instance: ReceivedInstance) -> Receipt:
        self.received.append(instance.sop_instance_uid)
        return Receipt.ACCEPTED


@dataclass
class Bench:
    """A PACS that knows our listener, with three studies in it."""

    remote: RemoteAE
    listener: Listener
    spool: Spool
    phantoms: list[Phantom]

    def wanted(self, study: int, *instances: Phantom) -> Wanted:
        uid = self.phantoms[study].study_instance_uid
        with querying(self.remote, calling_ae_title=US) as queries:
            (series,) = queries.series(uid)
        names = tuple(one.sop_instance_uid for one in instances)
        return Wanted(uid, series.series_instance_uid, names)


@contextmanager
def orthanc(folder: Path, us: RemoteAE) -> Iterator[RemoteAE]:
    folder.mkdir()
    with running_orthanc(folder, {"us": us}) as server:
        yield server.remote


@contextmanager
def dcmqrscp(folder: Path, us: RemoteAE) -> Iterator[RemoteAE]:
    with running_dcmqrscp(folder, {"us": us}) as remote:
        yield remote


@pytest.fixture(
    params=[pytest.param(orthanc, marks=needs_orthanc), pytest.param(dcmqrscp, marks=needs_dcmtk)]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    phantoms = [
        write_phantom(tmp_path / "in", study, number)
        for study, number in (("one", 1), ("one", 2), ("two", 1))
    ]
    spool, listener = Spool(tmp_path / "spool"), Listener()
    start: Callable[..., Iterator[RemoteAE]] = request.param
    with StorageScp(
        ae_title=US, host="127.0.0.1", port=0, spool=spool, sink=listener.register
    ) as scp:
        us = RemoteAE(US, "127.0.0.1", scp.port)
        with start(tmp_path / "pacs", us) as remote:  # type: ignore[attr-defined]
            paths = [phantom.path for phantom in phantoms]
            sent = send_instances(remote, paths, calling_ae_title=US)
            assert all(one.stored for one in sent)
            yield Bench(remote, listener, spool, phantoms)


def test_studies_series_and_instances_are_found(bench: Bench) -> None:
    one, other, two = bench.phantoms
    with querying(bench.remote, calling_ae_title=US) as queries:
        studies = queries.studies(WHOLE_DAY)
        (series,) = queries.series(one.study_instance_uid)
        instances = queries.instances(one.study_instance_uid, series.series_instance_uid)
        day_before = Period(DAY - timedelta(days=1), DAY - timedelta(minutes=1))
        none = queries.studies(day_before)

    found = {study.study_instance_uid: study.study_date for study in studies}
    assert found == {one.study_instance_uid: "20260304", two.study_instance_uid: "20260304"}
    assert series.modality == "DX"
    assert series.body_part_examined in ("HAND", "")  # dcmqrscp does not keep it
    assert sorted(instances) == sorted([one.sop_instance_uid, other.sop_instance_uid])
    assert none == []


def test_a_part_of_a_day_is_asked_for_by_time(bench: Bench) -> None:
    """Phantoms are of 05:06:07."""
    at_five = Period(DAY.replace(hour=5), DAY.replace(hour=5, minute=59))
    with querying(bench.remote, calling_ae_title=US) as queries:
        assert len(queries.studies(at_five)) == 2
        assert queries.studies(Period(DAY.replace(hour=6), DAY.replace(hour=7))) == []


def test_as_many_answers_as_allowed_count_as_cut_short(bench: Bench) -> None:
    with querying(bench.remote, calling_ae_title=US, most_answers=2) as queries:
        with pytest.raises(TooManyAnswers, match="has 2 answers or more"):
            queries.studies(WHOLE_DAY)
        (series,) = queries.series(bench.phantoms[2].study_instance_uid)
    assert series.modality == "DX"


def test_a_series_is_moved_to_our_listener(bench: Bench) -> None:
    wanted = [bench.wanted(0), bench.wanted(2)]
    answers = list(move(bench.remote, wanted, to_ae_title=US, calling_ae_title=US, timeout_s=30))
    assert [(one.completed, one.failed or 0, one.problem) for one in answers] == [
        (2, 0, ""),
        (1, 0, ""),
    ]
    assert sorted(bench.listener.received) == sorted(
        phantom.sop_instance_uid for phantom in bench.phantoms
    )


def test_one_instance_of_a_series_is_moved(bench: Bench) -> None:
    late = bench.phantoms[1]
    wanted = [bench.wanted(0, late)]
    (answer,) = move(bench.remote, wanted, to_ae_title=US, calling_ae_title=US, timeout_s=30)
    assert (answer.completed, answer.problem) == (1, "")
    assert bench.listener.received == [late.sop_instance_uid]


def test_an_unknown_move_destination_is_told_with_what_to_enter(bench: Bench) -> None:
    wanted = [bench.wanted(0)]
    (answer,) = move(bench.remote, wanted, to_ae_title="NOBODY", calling_ae_title=US, timeout_s=30)
    assert answer.problem
    assert not bench.listener.received


def test_instances_are_got_on_our_own_association(bench: Bench, tmp_path: Path) -> None:
    got = Listener()
    receiver = Receiver(Spool(tmp_path / "got"), got.register)
    (answer,) = get(
        bench.remote,
        [bench.wanted(0)],
        receiver=receiver,
        calling_ae_title=US,
        timeout_s=30,
        largest_bytes=10_000_000,
    )
    assert (answer.completed, answer.problem) == (2, "")
    assert len(got.received) == 2
    assert not bench.listener.received


def test_what_is_too_large_is_refused_and_counted(bench: Bench, tmp_path: Path) -> None:
    got = Listener()
    receiver = Receiver(Spool(tmp_path / "got"), got.register)
    (answer,) = get(
        bench.remote,
        [bench.wanted(2)],
        receiver=receiver,
        calling_ae_title=US,
        timeout_s=30,
        largest_bytes=1000,
    )
    assert answer.problem
    assert not got.received
    assert not list(receiver.spool.files())


def test_a_wrong_ae_title_or_port_is_an_association_that_failed(bench: Bench) -> None:
    nobody = replace(bench.remote, port=1)
    with pytest.raises(AssociationFailed, match="check that it runs"):
        list(move(nobody, [], to_ae_title=US, calling_ae_title=US, timeout_s=5))
