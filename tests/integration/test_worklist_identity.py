"""The worklist's pages for studies of different patients, and for quarantine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.states import Role
from dicom_node.radiograph import PixelLimits, read_radiographs
from tests.integration import worklist_site
from tests.integration.patient_site import (
    STUDY_UID,
    Site,
    corrected,
    radiograph,
    screened_site,
)
from tests.integration.worklist_site import Browser
from worker.worklist_pictures import RenderedPictures
from worklist.people import passwords

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

JANE = str(radiograph(1).SOPInstanceUID)


@pytest.fixture
def hospital(tmp_path: Path, ledger_engine: Engine) -> Iterator[Site]:
    with screened_site(tmp_path, ledger_engine) as made:
        yield made


@pytest.fixture
def site(hospital: Site, monkeypatch: pytest.MonkeyPatch) -> worklist_site.Site:
    monkeypatch.setattr(passwords, "_hasher", worklist_site.CHEAP)
    passwords._decoy.cache_clear()
    folder = hospital.settings.data_folder
    pictures = RenderedPictures(folder, read_radiographs, PixelLimits())
    monkeypatch.setattr(worklist_site, "NoPictures", lambda: pictures)
    made = worklist_site.Site(hospital.engine, folder, clock=hospital.clock)
    made.add("anna")
    made.add("boss", Role.ADMIN)
    return made


def signed_in(site: worklist_site.Site, name: str) -> Browser:
    browser = site.browser()
    browser.sign_in(name)
    return browser


def hold(hospital: Site) -> None:
    hospital.receive(radiograph(1))
    hospital.receive(radiograph(2, "Other^Person", "4711"))
    hospital.screen()


def test_a_reader_sees_both_patients_and_can_decide_nothing(
    hospital: Site, site: worklist_site.Site
) -> None:
    hold(hospital)
    anna = signed_in(site, "anna")

    shown = anna.get(f"/studies/{STUDY_UID}").text

    assert "Different patients in one study" in shown
    assert "Phantom, Test" in shown
    assert "Other, Person" in shown
    assert 'name="keep"' not in shown
    form = {"keep": JANE, "others": "discard", "csrf_token": anna.csrf_token()}
    assert anna.post(f"/studies/{STUDY_UID}/identities", form).status_code == 403
    assert anna.get("/quarantine").status_code == 403
    assert hospital.conflicts() == 1


def test_an_administrator_says_whose_study_it_is(hospital: Site, site: worklist_site.Site) -> None:
    hold(hospital)
    boss = signed_in(site, "boss")
    assert f'value="{JANE}"' in boss.get(f"/studies/{STUDY_UID}").text

    form = {"keep": JANE, "others": "discard", "csrf_token": boss.csrf_token()}
    assert boss.post(f"/studies/{STUDY_UID}/identities", form).status_code == 303
    hospital.screen()

    shown = boss.get(f"/studies/{STUDY_UID}").text
    assert "Different patients in one study" not in shown
    assert "Other, Person" not in shown
    assert "discarded" in shown
    (event,) = site.events("resolved identities")
    assert event.actor == "boss"
    assert event.details["address"] == worklist_site.ADDRESS
    again = boss.post(f"/studies/{STUDY_UID}/identities", form)
    assert again.status_code == 409
    assert "nothing to resolve" in again.text


def test_an_administrator_accepts_corrected_demographics(
    hospital: Site, site: worklist_site.Site
) -> None:
    hospital.receive(radiograph(1))
    hospital.screen()
    hospital.receive(corrected())
    boss = signed_in(site, "boss")

    shown = boss.get("/quarantine").text
    for text in ("Phantom, Test", "Right, Name", "ID 4711", "2 attributes differ", "Accept"):
        assert text in shown
    (file,) = hospital.spool.quarantined()
    form = {"name": file.name, "csrf_token": boss.csrf_token()}
    assert boss.post("/quarantine/accept", form).status_code == 303

    assert "Nothing is in quarantine" in boss.get("/quarantine").text
    header = hospital.screen().header
    assert header is not None
    assert header.patient_id == "4711"
    assert boss.post("/quarantine/accept", form).status_code == 409
    assert len(site.events("accepted from quarantine")) == 1
    assert len(site.events("viewed quarantine")) == 1


def test_what_is_in_quarantine_is_discarded_once_and_nothing_else_is(
    hospital: Site, site: worklist_site.Site
) -> None:
    hospital.receive(radiograph(1))
    hospital.receive(corrected())
    boss = signed_in(site, "boss")
    (file,) = hospital.spool.quarantined()
    token = boss.csrf_token()
    escape = {"name": "../incoming/00", "csrf_token": token}
    assert boss.post("/quarantine/discard", escape).status_code == 409
    assert boss.post("/quarantine/discard", {"name": file.name}).status_code == 403
    form = {"name": file.name, "csrf_token": token}
    assert boss.post("/quarantine/discard", form).status_code == 303
    assert hospital.spool.quarantined() == []
    assert len(list(hospital.spool.files())) == 1
