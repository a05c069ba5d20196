"""A failed study in headless Chromium: named, with its reason, retried by a button."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.by import By

from db.failure_reasons import FailureReason
from db.states import StudyState
from tests.e2e.test_worklist_browser import RULES, find, running, sign_in
from tests.radiographs import Phantom, write_phantom
from tests.screened_site import ScreenedSite
from worker.composition import utc_now
from worker.failure_report import report_failure

pytestmark = pytest.mark.timeout(900)


class FailedSite:
    """A site with one study whose file was lost before it was screened."""

    def __init__(self, folder: Path) -> None:
        self.site = ScreenedSite(folder / "site")
        self.phantom: Phantom = write_phantom(folder, "lost", 1)
        dataset = pydicom.dcmread(self.phantom.path)
        dataset.PatientName, dataset.PatientID = "Lost^Lena", "L-19"
        dataset.AccessionNumber, dataset.StudyDescription = "ACC-19", "Hand right, two views"
        dataset.save_as(self.phantom.path)
        self.site.receive([self.phantom.path])
        self.ledger = self.site.ledger

    def fail(self) -> None:
        for stored in self.site.settings.spool_folder.glob("incoming/*/*"):
            stored.unlink()
        self.ledger.mark_quiet_studies_ready(timedelta(0))
        (queued,) = self.ledger.queue_ready_studies(1)
        claim = self.ledger.claim_study(queued.study_id, 1, "test", timedelta(minutes=1))
        assert claim is not None
        self.ledger.fail_attempt(claim, FailureReason.FILE_MISSING, 1)
        assert report_failure(self.site.settings, self.ledger, queued.study_id, 1, utc_now())


@pytest.fixture
def failed(tmp_path: Path) -> FailedSite:
    made = FailedSite(tmp_path)
    made.fail()
    return made


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    yield from running(tmp_path / "downloads")


def test_an_administrator_retries_a_failed_study(
    failed: FailedSite, browser: webdriver.Chrome
) -> None:
    with failed.site.served() as address:
        sign_in(browser, address)
        find(browser, ".patient a").click()
        shown = find(browser, "main").text
        for words in ("Lost, Lena", "ACC-19", "The stored file is missing.", "the study failed"):
            assert words in shown
        assert "waiting" not in shown
        assert find(browser, "#report").is_displayed()
        assert Axe().run(browser, options={"runOnly": RULES})["violations"] == []

        find(browser, "form[action$='/retry'] button").click()

        find(browser, "main")
        assert not browser.find_elements(By.CSS_SELECTOR, "form[action$='/retry']")
        summary = failed.ledger.study_summary(failed.phantom.study_instance_uid)
        assert summary is not None
        assert (summary.state, summary.revision) == (StudyState.READY, 2)
