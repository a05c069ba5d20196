"""What cannot be planted on every machine: judged from plain values."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.bundle import DEFAULT_BUNDLE, load_bundle
from worker.certificates import make_certificates
from worker.doctor.broker import judge_redis, open_redis
from worker.doctor.clock import Comparison, judge_clock
from worker.doctor.data_folder import (
    Ownership,
    file_system_of,
    judge_file_system,
    judge_ownership,
    judge_sync,
)
from worker.doctor.database import judge_server
from worker.doctor.finding import Result
from worker.doctor.model import EXPECTED_PROBABILITY, Trial, judge_trial
from worker.doctor.processes import judge_work
from worker.doctor.receivers import address_of
from worker.doctor.remote_tls import HANDSHAKE_REMEDIES, Address, judge_failure
from worker.doctor.settings_file import judge_mode
from worker.doctor.x509 import certificates_of, read_certificate
from worker.settings import Settings
from worklist.monitor.alarms import Kind, Severity, Trouble

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FOLDER = Path("/var/lib/fracture-screen")
MOUNTS = (
    "/dev/sda1 / ext4 rw 0 0\n"
    "tmpfs /run tmpfs rw 0 0\n"
    "filer:/export /var/lib nfs4 rw 0 0\n"
    "filer:/other /var/lib/fracture nfs4 rw 0 0\n"
    "/dev/sdb1 /mnt/a\\040disk xfs rw 0 0\n"
)


def test_the_file_system_is_that_of_the_deepest_mount_above_the_folder() -> None:
    assert file_system_of(FOLDER, MOUNTS) == "nfs4"
    assert file_system_of(Path("/var/libel"), MOUNTS) == "ext4"
    assert file_system_of(Path("/mnt/a disk/data"), MOUNTS) == "xfs"
    assert file_system_of(FOLDER, MOUNTS + "/dev/sdc1 /var/lib/fracture-screen xfs rw 0 0") == "xfs"


def test_a_network_file_system_is_a_fault_for_the_embedded_database_alone() -> None:
    verdict = judge_file_system(FOLDER, "nfs4", embedded=True)
    assert verdict is not None
    assert verdict.result is Result.FAILED
    assert "database_url" in verdict.remedy
    assert judge_file_system(FOLDER, "nfs4", embedded=False) is None


def test_a_slow_disk_is_warned_of() -> None:
    assert judge_sync("ext4", 0.01).result is Result.OK
    assert judge_sync("ext4", 1.5).result is Result.WARNING


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o777])
def test_a_folder_that_anybody_else_can_enter_is_a_fault(mode: int) -> None:
    verdict = judge_ownership(FOLDER, Ownership(1, stat.S_IFDIR | mode), 1)
    assert verdict is not None
    assert verdict.remedy == f"`chmod 700 {FOLDER}`."


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        (0o600, Result.OK),
        (0o640, Result.OK),
        (0o660, Result.WARNING),
        (0o604, Result.FAILED),
        (0o602, Result.FAILED),
    ],
)
def test_a_secret_may_be_read_by_its_group_and_by_nobody_else(mode: int, result: Result) -> None:
    assert judge_mode(Path("key"), stat.S_IFREG | mode).result is result


@pytest.mark.parametrize(
    ("ahead_s", "uncertain_s", "result"),
    [
        (0.5, 0.1, Result.OK),
        (3, 0.1, Result.WARNING),
        (-3, 0.1, Result.WARNING),
        (3, 2.5, Result.OK),
        (31, 0.1, Result.FAILED),
        (-31, 0.1, Result.FAILED),
    ],
)
def test_clocks_are_apart_by_what_is_certain(
    ahead_s: float, uncertain_s: float, result: Result
) -> None:
    comparison = Comparison("database", timedelta(seconds=ahead_s), timedelta(seconds=uncertain_s))
    assert judge_clock(NOW, [comparison]).result is result


def test_the_clock_that_is_furthest_apart_is_told() -> None:
    near = Comparison("database", timedelta(0), timedelta(0))
    far = Comparison("broker", timedelta(minutes=1), timedelta(0))
    assert "of the broker" in judge_clock(NOW, [near, far]).found


def test_versions_without_security_fixes_are_faults() -> None:
    assert judge_server("PostgreSQL 12.19", "UTF8", "x").result is Result.FAILED
    assert judge_server("PostgreSQL 17beta1", "UTF8", "x").result is Result.OK
    assert judge_server("SQLite 3.40.1", "UTF8", "x").result is Result.OK
    assert judge_redis({"redis_version": "5.0.14"}, "x").result is Result.FAILED


def test_a_redis_that_cannot_write_down_what_it_is_given_is_a_fault() -> None:
    info = {"redis_version": "7.2.0", "aof_enabled": 1, "aof_last_write_status": "err"}
    assert "room on its disk" in judge_redis(info, "x").remedy


TRIAL = Trial("unknown", (0.5, 0.5), True, 0.1, "the CPU")


@pytest.mark.parametrize(
    ("trial", "result", "word"),
    [
        (TRIAL, Result.OK, "same each time"),
        (Trial("unknown", (float("nan"),) * 2, False, 0.1, "1 GPU"), Result.FAILED, "model.engine"),
        (Trial("unknown", (1.5, 1.5), True, 0.1, "1 GPU"), Result.FAILED, "do not screen"),
        (Trial("unknown", (0.5, 0.6), True, 0.1, "1 GPU"), Result.FAILED, "wrongly"),
        (Trial("unknown", (0.5, 0.5), True, 4.0, "1 GPU"), Result.WARNING, "study.lease_s"),
    ],
)
def test_an_inference_is_judged_by_its_numbers_and_its_time(
    trial: Trial, result: Result, word: str
) -> None:
    verdict = judge_trial(trial, 30)
    assert verdict.result is result
    assert word in verdict.found + verdict.remedy


def test_the_shipped_bundle_has_an_expected_probability_and_others_are_refused() -> None:
    digest = load_bundle(DEFAULT_BUNDLE).identity.digest
    expected = EXPECTED_PROBABILITY[digest[:16]]
    wrong = 1 - expected
    verdict = judge_trial(Trial(digest, (wrong, wrong), True, 0.1, "1 GPU"), 30)
    assert (verdict.result, "is expected" in verdict.found) == (Result.FAILED, True)


def test_the_worst_trouble_decides_and_all_are_told() -> None:
    letters = Trouble(Kind.DEAD_LETTERS, Severity.WARNING, "one was given up.", "see why", "pacs")
    stalled = Trouble(Kind.DISPATCH_STALLED, Severity.CRITICAL, "nothing goes on.", "start it")
    assert judge_work([]).result is Result.OK
    assert judge_work([letters]).result is Result.WARNING
    both = judge_work([letters, stalled])
    assert (both.result, both.found) == (
        Result.FAILED,
        "one was given up. nothing goes on.",
    )


@pytest.mark.parametrize(("part", "remedy"), HANDSHAKE_REMEDIES)
def test_every_way_that_a_handshake_fails_has_its_own_remedy(part: str, remedy: str) -> None:
    assert judge_failure(Address("pacs", 2762), f"[SSL] {part}").remedy == remedy


@pytest.mark.parametrize("name", ["REQUIRED", "OPTIONAL", "NONE"])
def test_a_broker_by_tls_is_asked_as_celery_would(name: str) -> None:
    url = f"rediss://:pw@redis.example:6379/0?ssl_cert_reqs=CERT_{name}"
    client = open_redis(Settings(broker_url=url), 1)
    assert client.connection_pool.connection_kwargs["ssl_cert_reqs"] == name.lower()
    client.connection_pool.make_connection()


def test_an_address_without_a_port_has_that_of_its_scheme() -> None:
    assert address_of("https://a/x") == (Address("a", 443), True)
    assert address_of("http://a:81/x") == (Address("a", 81), False)


def test_a_certificates_name_and_days_are_as_openssl_wrote_them(tmp_path: Path) -> None:
    (pair,) = make_certificates(tmp_path, ["FRACTURESCREEN"], ["localhost"], days=40)
    (found,) = certificates_of(pair.certificate.read_text())
    lasts = found.not_after - found.not_before
    assert (found.common_name, lasts) == ("FRACTURESCREEN", timedelta(days=40))
    assert abs(found.not_before - datetime.now(UTC)) < timedelta(minutes=2)


def test_a_certificate_beyond_2049_is_read(tmp_path: Path) -> None:
    (pair,) = make_certificates(tmp_path, ["A"], ["localhost"], days=365 * 40)
    (found,) = certificates_of(pair.certificate.read_text())
    assert found.not_after - found.not_before == timedelta(days=365 * 40)


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x05ab", b"\x30\x00", b"\x30\x82\xff\xff"])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"no X\.509"):
        read_certificate(der)
