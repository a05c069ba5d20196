"""What compose.yaml starts screens a study: see tests/servers/composed.py for what is as there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.radiographs import write_phantom
from tests.servers.composed import NEIGHBOURS, RUNNING, Site, composed_site, some_ports
from tests.servers.orthanc import needs_orthanc
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.product import wait_for

ASKED_BY_NETWORK = ("listener", "worklist", "monitor")

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server (apt install redis-server)"
)


@pytest.fixture
def site(tmp_path: Path, postgresql_server: PrivatePostgresql) -> Iterator[Site]:
    """Redis, PostgreSQL and the PACS run; nothing of ours does."""
    with composed_site(tmp_path, postgresql_server, some_ports()) as site:
        for name in NEIGHBOURS:
            site.start(name)
        yield site


@needs_redis
@needs_orthanc
@pytest.mark.timeout(600)
def test_what_compose_starts_screens_a_study_from_the_pacs_and_sends_the_results_back(
    site: Site,
) -> None:
    too_early = site.health("dispatcher")
    assert too_early.returncode == 2
    assert "db upgrade" in too_early.stderr
    upgraded = site.run("upgrade")
    assert upgraded.returncode == 0, upgraded.stderr

    for name in RUNNING:
        site.start(name)
    wait_for(lambda: site.healthy("listener"), "the listener answers", site.log)

    check_a_study(site)
    for name in (*RUNNING, "redis"):
        passed = wait_for(lambda name=name: site.healthy(name), f"{name} is healthy", site.log)
        assert passed
    check_what_prometheus_is_told(site)
    check_redis_lets_nobody_else_in(site)
    ended = {name: site.processes[name].poll() for name in RUNNING}
    assert ended == dict.fromkeys(RUNNING), site.log()

    assert {name: site.stop(name) for name in RUNNING} == dict.fromkeys(RUNNING, 0), site.log()
    for name in ASKED_BY_NETWORK:
        assert not site.healthy(name), f"{name} is away"


@needs_redis
@needs_orthanc
def test_redis_keeps_transactions_over_a_kill(site: Site) -> None:
    url = (site.folder / "secrets" / "broker-url").read_text().strip()
    with redis.Redis.from_url(url) as ours:
        ours.pipeline(transaction=True).set("queued", 1).set("published", 1).execute()
        wait_for(lambda: ours.info("persistence")["aof_pending_bio_fsync"] == 0, "it is synced")
        site.kill("redis")
        site.start("redis")
        assert ours.mget("queued", "published") == [b"1", b"1"]
    check_redis_lets_nobody_else_in(site)


def check_a_study(site: Site) -> None:
    phantom = write_phantom(site.folder / "in", "composed")
    with site.pacs() as pacs:
        pacs.get("/system").raise_for_status()
        with httpx.Client(trust_env=False) as nobody:
            assert nobody.get(f"{pacs.base_url}/system").status_code == 401
        stored = pacs.post("/instances", content=phantom.path.read_bytes()).json()
        sent = pacs.post("/modalities/fracture-screen/store", json=[stored["ID"]])
        assert sent.status_code == 200, sent.text

        def modalities() -> set[str]:
            study = pacs.get(f"/studies/{stored['ParentStudy']}/series").json()
            return {series["MainDicomTags"]["Modality"] for series in study}

        wait_for(lambda: modalities() == {"DX", "OT", "DOC"}, "results come back", site.log)


def check_what_prometheus_is_told(site: Site) -> None:
    def told() -> bool:
        url = f"http://127.0.0.1:{site.ports['9180']}/metrics"
        lines = httpx.get(url, trust_env=False).text.splitlines()
        figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return (
            figures['fracture_screen_studies{state="SCREENED"}'] == "1.0"
            and figures['fracture_screen_up{part="listener"}'] == "1.0"
            and figures['fracture_screen_alarms{severity="critical"}'] == "0.0"
        )

    wait_for(told, "the monitor has seen it", site.log)


def check_redis_lets_nobody_else_in(site: Site) -> None:
    port = site.ports["6379"]
    with redis.Redis(port=port) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.keys()
    as_default = f"redis://default:@127.0.0.1:{port}", f"redis://default:x@127.0.0.1:{port}"
    for url in as_default:
        with redis.Redis.from_url(url) as default, pytest.raises(redis.AuthenticationError):
            default.keys()
    with redis.Redis.from_url(f"redis://health:none@127.0.0.1:{port}") as health:
        assert health.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            health.keys()
