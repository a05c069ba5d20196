"""A study whose files were purged, screened by the real model: its pages, and a late image."""

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from db.records import StudySummary
from db.retention import Kind, Retention
from tests.radiographs import write_phantom
from tests.screened_site import ScreenedSite
from tests.worklist_people import session_cookie
from worker.composition import utc_now
from worker.retention.purge import purge
from worker.settings import RetentionSettings
from worker.worklist_parts import make_parts
from worklist.app import make_app


@pytest.fixture
def site(tmp_path: Path) -> ScreenedSite:
    site = ScreenedSite(tmp_path / "site")
    site.receive([write_phantom(tmp_path / "in", "purged").path])
    site.screen()
    later = Retention(site.engine, lambda: utc_now() + timedelta(days=2))
    gone = purge(RetentionSettings(instances_days=1), later, site.settings.data_folder, "test")
    assert gone[Kind.INSTANCES].count == 1
    assert list(site.settings.spool_folder.rglob("*.dcm")) == []
    return site


def test_the_page_says_when_an_image_was_purged_and_shows_the_rest(
    site: ScreenedSite, tmp_path: Path
) -> None:
    phantom = write_phantom(tmp_path / "in", "purged")
    parts = make_parts(site.settings, site.engine)
    cookies = session_cookie(parts)
    browser = TestClient(make_app(parts), base_url="https://testserver", cookies=cookies)
    page = browser.get(f"/studies/{phantom.study_instance_uid}")
    assert page.status_code == 200
    assert "The image was purged on 20" in page.text
    assert "radiograph.png" not in page.text
    base = f"/studies/{phantom.study_instance_uid}"
    picture = browser.get(f"{base}/images/{phantom.sop_instance_uid}/1/radiograph.png")
    assert picture.status_code == 404
    assert "was purged on 20" in picture.text
    assert browser.get(f"{base}/report").status_code == 200


def test_a_late_image_takes_back_nothing_that_was_said_of_a_purged_one(
    site: ScreenedSite, tmp_path: Path
) -> None:
    phantom = write_phantom(tmp_path / "in", "purged")
    before = _summary(site, phantom.study_instance_uid)
    assert before.analysis is not None
    site.receive([write_phantom(tmp_path / "in", "purged", 2).path])
    site.screen()
    after = _summary(site, phantom.study_instance_uid)
    assert after.revision == 2
    assert after.analysis is not None
    (said,) = before.analysis.findings
    kept = [one for one in after.analysis.findings if one.sop_instance_uid == said.sop_instance_uid]
    assert kept == [said]
    assert len(after.analysis.findings) == 2
    assert (after.analysis.probability or 0) >= (before.analysis.probability or 0)


def _summary(site: ScreenedSite, uid: str) -> StudySummary:
    summary = site.ledger.study_summary(uid)
    assert summary is not None
    return summary
