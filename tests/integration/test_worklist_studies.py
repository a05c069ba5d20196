"""List, study, feedback, export and API over HTTP, on a ledger filled by direct calls."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, select

from db.outcomes import Outcome
from db.records import Conclusion, NewFinding
from db.reviews import NewReview
from db.session import transaction
from db.states import ReviewOutcome, Role, StudyState
from db.study_headers import fold
from db.tables import AuditEvent, StudyHeader, StudyOpening
from dicom_node.errors import UnreadableInstance
from dicom_node.image_label import ImageLabel
from tests.correctors import corrector_over
from tests.servers.web import serve
from tests.unit.db.ledger_factories import (
    Bench,
    instance_uid,
    make_conclusion,
    make_result,
    study_uid,
)
from tests.worklist_people import begin_session, session_cookie
from worker.reviews.table import read_reviews
from worklist.app import make_app
from worklist.pages.studies import reviews_table
from worklist.parts import Parts, SessionRules
from worklist.people.cookies import cookie_name

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

UID, IMAGE = study_uid(1), instance_uid(1, 1)
PNG, PDF = b"\x89PNG drawn", b"%PDF-1.7 written"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd|' /C calc'!A0",
    "Jo\x1b[31m\x07Bell",
    "\u202eEvil",
    "محمود, فاطمة",
    "{{ 7*7 }}",
    "W" * 64,
)
FLAGGED = NewFinding(
    IMAGE,
    1,
    analysed=True,
    probability=0.93,
    operating_point="specific",
    body_part_examined="HAND",
    device="ACME DR",
    rows=200,
    columns=100,
)


class DrawnPictures:
    """Stands for files: what stands under "gone" is not there."""

    def radiograph(self, path: str, frame_number: int) -> bytes:
        if frame_number != 1:
            raise UnreadableInstance(f"{Path(path).name} has 1 frame")
        return PNG

    def heatmap(self, path: str, rows: int, columns: int) -> bytes:
        return f"{PNG!r} {rows} {columns}".encode()

    def heatmap_source(self, path: str) -> tuple[str, int]:
        return IMAGE, 1

    def label(self, path: str) -> ImageLabel:
        return ImageLabel("2.1", "hand PA left")

    def report(self, path: str) -> bytes:
        return PDF


class Site:
    """A worklist over a bench, and a browser."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.bench = Bench(engine)
        parts = Parts(
            engine=engine,
            clock=self.bench.clock,
            pictures=DrawnPictures(),
            data_folder=folder,
            time_zone=ZoneInfo("Europe/Berlin"),
            viewer_url="https://viewer.example/{study_instance_uid}",
            corrector=corrector_over(engine, self.bench.clock, folder),
            sessions=SessionRules(timedelta(1), timedelta(1), 5, timedelta(1), False),
            trusted_proxy=None,
        )
        self.app = make_app(parts)
        self.client = TestClient(
            self.app, raise_server_exceptions=False, follow_redirects=False, base_url="https://w"
        )
        self.parts = parts
        self.csrf_token = ""
        self.sign_in("dr.quinn", Role.ADMIN)

    def sign_in(self, name: str, role: Role) -> None:
        begun = begin_session(self.parts, name, role)
        self.csrf_token = begun.record.csrf_token
        self.client.cookies.set(cookie_name(self.parts.sessions), begun.token)

    def sign_out(self) -> None:
        self.client.cookies.clear()

    def header(self, study_id: int, **texts: str) -> None:
        """What the first radiograph says."""
        stated = {
            "patient_name": "Test, Patient",
            "patient_id": "P1",
            "patient_sex": "F",
            "accession_number": "A1",
            "study_description": "X-ray",
            "body_parts": "HAND",
        } | texts
        with transaction(self.engine) as session:
            session.execute(
                insert(StudyHeader).values(
                    study_id=study_id,
                    patient_birth_date=date(1980, 1, 2),
                    patient_name_folded=fold(stated["patient_name"]),
                    **stated,
                )
            )

    def conclude(self, **changes: object) -> int:
        """Study 1 with one flagged image, its heatmap and report; returns its row's id."""
        results = (make_result(1), make_result(2, kind="report"))
        made: Conclusion = make_conclusion(findings=(FLAGGED,), results=results)
        return self.bench.conclude(replace(made, **changes)).study_id  # type: ignore[arg-type]

    def answer(self, **fields: str) -> object:
        """Send the feedback's form."""
        form = {
            "csrf_token": self.csrf_token,
            "sop_instance_uid": IMAGE,
            "analysis_revision": "1",
            "outcome": "AGREE",
        } | fields
        return self.client.post(
            f"/studies/{UID}/reviews", data=form, headers={"Origin": "https://w"}
        )

    def reviews(self) -> list[NewReview]:
        """All answers about the image."""
        return list(self.app.state.reading.reviews.history(IMAGE))

    def trail(self) -> list[tuple[str, str, str]]:
        """Actor, action and subject of what was done with studies, oldest first."""
        about_people = ("account added", "signed in")
        with transaction(self.engine) as session:
            rows = session.scalars(
                select(AuditEvent)
                .where(AuditEvent.action.not_in(about_people))
                .order_by(AuditEvent.id)
            )
            return [(row.actor, row.action, row.subject) for row in rows]


@pytest.fixture
def site(ledger_engine: Engine, tmp_path: Path) -> Site:
    return Site(ledger_engine, tmp_path)


class Elements(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def require_harmless(html: str) -> Elements:
    """Neither script nor style within, and nothing from elsewhere."""
    elements = Elements(html)
    for tag, attributes in elements.tags:
        assert tag != "style"
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        if tag in ("script", "img", "link", "iframe"):
            place = attributes.get("src") or attributes.get("href") or ""
            assert place.startswith("/"), (tag, place)
    return elements


def test_the_list_shows_what_is_known_and_names_no_order_of_reading(site: Site) -> None:
    site.header(site.conclude())
    html = site.client.get("/").text
    text = " ".join(require_harmless(html).text.split())
    for word in (
        "Test, Patient",
        "P1",
        "1980-01-02",
        "A1",
        "HAND",
        "Fracture likely",
        "90 %",
        "triage",
    ):
        assert word in text
    assert "densenet 1.0" in text
    assert "2024-03-01 00:59" in text  # the site's time
    assert "Research use only, not for primary diagnosis" in text
    assert not re.search("urgent|priority|critical|stat!", text, re.IGNORECASE)


def test_filters_search_and_tabs_are_links_and_fields_that_work_without_script(
    site: Site,
) -> None:
    site.header(site.conclude(), patient_name="Müller, Änne")
    shown = f'href="/studies/{UID}"'
    for query in ("?q=muller", "?q=P1", f"?q={UID}", "?outcome=POSITIVE", "?body_part=HAND"):
        assert shown in site.client.get(f"/{query}").text, query
    for query in ("?q=anne", "?outcome=NEGATIVE", "?outcome=WAITING", "?source=sweep"):
        assert shown not in site.client.get(f"/{query}").text, query
    html = site.client.get("/?outcome=POSITIVE&q=muller").text
    assert 'value="POSITIVE" checked' in html
    assert "outcome=NEGATIVE&amp;q=muller" in html


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text_on_every_page(site: Site, name: str) -> None:
    study_id = site.conclude(reason=name)
    site.header(study_id, patient_name=name, patient_id=name, body_parts=name)
    visible = name.replace("\x1b", "␛").replace("\x07", "␇").replace("\u202e", "\ufffd")
    for path in ("/", f"/studies/{UID}", "/?q=" + fold(name)[:10].replace("&", "")):
        answer = site.client.get(path)
        elements = require_harmless(answer.text)
        assert answer.status_code == 200
        assert visible in elements.text, path
        assert "\x1b" not in answer.text
        names = [attributes for tag, attributes in elements.tags if tag == "bdi"]
        assert any(one.get("title") == visible and one.get("dir") == "auto" for one in names)
    body = site.client.get("/api/studies").json()["studies"][0]
    assert body["patient"]["patient_name"] == name


@pytest.mark.parametrize("query", ["q=%00", "q=%ff%fe", "after=1-c-1", "before=x", "since=x&q=%F0"])
def test_no_query_breaks_the_list(site: Site, query: str) -> None:
    assert site.client.get(f"/?{query}").status_code == 200


def test_pages_of_the_list_lead_on_and_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.worklist_pages.PAGE_SIZE", 2)
    for study in range(1, 6):
        site.bench.register(study)
    pages = ["/"]
    while link := re.search(r'rel="next" href="([^"]+)"', site.client.get(pages[-1]).text):
        pages.append(unescape(link[1]))
    found = [re.findall(r'href="/studies/([0-9.]+)"', site.client.get(one).text) for one in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert sorted(uid for page in found for uid in page) == [study_uid(n) for n in range(1, 6)]
    last = site.client.get(pages[-1]).text
    back = re.search(r'rel="prev" href="([^"]+)"', last)
    assert back is not None
    html = site.client.get(unescape(back[1])).text
    assert re.findall(r'href="/studies/([0-9.]+)"', html) == found[1]


def test_a_study_shows_pictures_findings_deliveries_history_and_what_was_not_analysed(
    site: Site,
) -> None:
    site.bench.register(1, 2)
    silent = NewFinding(
        instance_uid(1, 2), 0, analysed=False, reason="body part outside the model's scope: SKULL"
    )
    site.header(site.conclude(findings=(FLAGGED, silent)))
    html = site.client.get(f"/studies/{UID}").text
    elements = require_harmless(html)
    text = " ".join(elements.text.split())
    for words in (
        "93 %",
        "body part outside the model's scope: SKULL",
        "Image 2.1, hand PA left",
        "Heatmap of image 2.1",
        "Image 2.1b, hand PA left",
        "to be sent",
        "in force",
        "Fracture elsewhere",
        "Research use only, not for primary diagnosis",
    ):
        assert words in text, words
    places = {attributes.get("src") or attributes.get("href") for _, attributes in elements.tags}
    base = f"/studies/{UID}"
    assert {
        f"{base}/images/{IMAGE}/1/radiograph.png",
        f"{base}/images/{IMAGE}/1/heatmap.png",
        f"{base}/report",
        f"https://viewer.example/{UID}",
    } <= places
    assert f"{base}/images/{instance_uid(1, 2)}/1/heatmap.png" not in places


def test_a_study_that_waits_is_shown_and_not_counted_as_opened(site: Site) -> None:
    site.bench.register(1)
    html = site.client.get(f"/studies/{UID}").text
    assert "images are arriving" in html
    with transaction(site.engine) as session:
        assert session.scalars(select(StudyOpening)).all() == []
    assert site.trail() == [("dr.quinn", "opened study", UID)]


def failed(site: Site, reason: str = "The stored file is missing.") -> None:
    """Study 1 with two images, given up."""
    site.header(site.bench.register(number=2))
    claim = site.bench.claim()
    site.bench.ledger.fail_attempt(claim, reason, 1)


def retry(site: Site, **form: str) -> httpx.Response:
    answer = site.client.post(
        f"/studies/{UID}/retry",
        data={"csrf_token": site.csrf_token} | form,
        headers={"Origin": "https://w"},
    )
    assert isinstance(answer, httpx.Response)
    return answer


def test_a_failed_study_has_its_name_its_reason_and_images_that_failed(site: Site) -> None:
    failed(site)
    listed = " ".join(require_harmless(site.client.get("/").text).text.split())
    assert "Test, Patient" in listed
    text = " ".join(require_harmless(site.client.get(f"/studies/{UID}").text).text.split())
    for words in ("Test, Patient", "A1", "The stored file is missing.", "the study failed"):
        assert words in text
    assert text.count("Failed") >= 5  # the study, two links and two images
    assert "waiting" not in text
    assert "Nothing is said of it" not in text
    answer = site.client.get(f"/api/studies/{UID}").json()
    assert [one["status"] for one in answer["instances"]] == ["failed", "failed"]


def test_an_administrator_retries_a_failed_study_on_its_page(site: Site) -> None:
    failed(site)
    assert ">Retry</button>" in site.client.get(f"/studies/{UID}").text
    answer = retry(site)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{UID}")
    assert ("dr.quinn", "retried study", UID) in site.trail()
    detail = site.client.get(f"/api/studies/{UID}").json()
    assert (detail["state"], detail["revision"]) == ("READY", 2)
    assert ">Retry</button>" not in site.client.get(f"/studies/{UID}").text
    again = retry(site)
    assert again.status_code == 409
    assert site.trail().count(("dr.quinn", "retried study", UID)) == 1


def test_nobody_else_retries_a_study(site: Site) -> None:
    failed(site)
    assert retry(site, **{"csrf_token": "guessed"}).status_code == 403
    site.sign_in("dr.roe", Role.READER)
    page = site.client.get(f"/studies/{UID}").text
    assert ">Retry</button>" not in page
    assert "An administrator can retry it." in page
    assert retry(site).status_code == 403
    site.sign_out()
    assert retry(site).status_code == 401
    detail = site.bench.ledger.study_summary(UID)
    assert detail is not None
    assert detail.state is StudyState.FAILED
    assert not [one for one in site.trail() if one[1] == "retried study"]


def test_an_opening_is_noted_once_and_every_look_stands_in_the_trail(site: Site) -> None:
    study_id = site.conclude()
    for _ in range(2):
        assert site.client.get(f"/studies/{UID}").status_code == 200
        site.bench.clock.forward(timedelta(minutes=1))
    with transaction(site.engine) as session:
        (opening,) = session.scalars(select(StudyOpening))
        assert (opening.study_id, opening.revision) == (study_id, 1)
    assert site.trail() == [("dr.quinn", "opened study", UID)] * 2


def test_pictures_and_report_are_private_and_known_by_their_tag(site: Site) -> None:
    site.conclude()
    base = f"/studies/{UID}"
    for path, content in (
        (f"{base}/images/{IMAGE}/1/radiograph.png", PNG),
        (f"{base}/images/{IMAGE}/1/heatmap.png", f"{PNG!r} 200 100".encode()),
        (f"{base}/report", PDF),
    ):
        answer = site.client.get(path)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["cache-control"] == "private, no-cache"
        again = site.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert (
        "frame-ancestors 'self'"
        in site.client.get(f"{base}/report").headers["content-security-policy"]
    )


@pytest.mark.parametrize(
    "path",
    [
        "/studies/9.9.9",
        "/studies/9.9.9/report",
        f"/studies/{UID}/images/9.9/1/radiograph.png",
        f"/studies/{UID}/images/{IMAGE}/2/radiograph.png",
        f"/studies/{UID}/images/{IMAGE}/2/heatmap.png",
        "/nothing",
    ],
)
def test_what_is_not_there_is_told_by_a_page(site: Site, path: str) -> None:
    site.conclude()
    answer = site.client.get(path)
    assert answer.status_code == 404
    require_harmless(answer.text)
    assert "There is nothing here" in answer.text


def test_an_answer_is_entered_shown_changed_and_kept(site: Site) -> None:
    site.conclude()
    box = {"box_left": "10", "box_top": "20", "box_width": "30", "box_height": "40"}
    answer = site.answer(outcome="ELSEWHERE", **box)
    assert answer.status_code == 303  # type: ignore[attr-defined]
    html = site.client.get(f"/studies/{UID}").text
    assert 'data-given-box="10 20 30 40"' in html
    site.bench.clock.forward(timedelta(minutes=1))
    site.answer(outcome="DISAGREE")
    reviews = site.reviews()
    assert [(one.outcome, one.fractured, one.reader) for one in reviews] == [
        (ReviewOutcome.ELSEWHERE, True, "dr.quinn"),
        (ReviewOutcome.DISAGREE, False, "dr.quinn"),
    ]
    assert (reviews[0].box_left, reviews[0].box_height) == (10, 40)
    html = site.client.get(f"/studies/{UID}").text
    assert "Answers (2)" in html
    assert "replaced" in html
    assert ("dr.quinn", "reviewed", UID) in site.trail()


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"outcome": ""}, 422, "Choose one"),
        ({"outcome": "PERHAPS"}, 422, "not of its kind"),
        ({"box_left": "1"}, 422, "four whole numbers"),
        (
            {"box_left": "90", "box_top": "1", "box_width": "11", "box_height": "1"},
            422,
            "100 wide and 200 high",
        ),
        ({"analysis_revision": "2"}, 409, "analysed anew"),
        ({"sop_instance_uid": "9.9"}, 404, "no such image"),
        ({"csrf_token": "forged"}, 403, ""),
    ],
)
def test_an_answer_that_cannot_be_entered_is_told_why_and_changes_nothing(
    site: Site, fields: dict[str, str], status: int, told: str
) -> None:
    site.conclude()
    answer = site.answer(**fields)
    assert answer.status_code == status  # type: ignore[attr-defined]
    assert told in answer.text  # type: ignore[attr-defined]
    assert site.reviews() == []


def test_the_export_is_what_the_import_takes_and_no_formula(site: Site, tmp_path: Path) -> None:
    site.conclude()
    box = {"box_left": "1", "box_top": "2", "box_width": "3", "box_height": "4"}
    site.answer(**box)
    answer = site.client.get("/reviews/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    (tmp_path / "reviews.csv").write_bytes(answer.content)
    assert read_reviews(tmp_path / "reviews.csv") == site.reviews()
    assert site.trail()[-1] == ("dr.quinn", "exported reviews", "reviews")

    hostile = [
        NewReview("1.2", ReviewOutcome.AGREE, None, reader, datetime(2026, 1, 1, tzinfo=UTC))
        for reader in ("=cmd|' /C calc'!A0", "+1", "-1", "@x", "\tx", 'a,"b')
    ]
    rows = list(csv.DictReader(io.StringIO(reviews_table(hostile))))
    assert not any(row["reader"].startswith(("=", "+", "-", "@", "\t")) for row in rows)
    assert rows[-1]["reader"] == 'a,"b'


def test_only_administrators_export_and_only_who_signed_in_sees_anything(site: Site) -> None:
    site.conclude()
    site.sign_in("dr.roe", Role.READER)
    assert site.client.get("/reviews/export").status_code == 403
    assert "/reviews/export" not in site.client.get("/").text
    site.sign_out()
    base = f"/studies/{UID}"
    pages = ("/", base, f"{base}/report", f"{base}/images/{IMAGE}/1/radiograph.png", "/events")
    for path in (*pages, "/reviews/export"):
        answer = site.client.get(path)
        assert answer.status_code in (303, 401), path
        assert "densenet" not in answer.text
    for path in (
        "/api/studies",
        f"/api/studies/{UID}",
        "/api/openapi.json",
        f"/api/studies/{UID}/reviews",
    ):
        answer = site.client.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["content-type"].startswith("application/")
    assert site.answer().status_code == 401  # type: ignore[attr-defined]
    assert site.client.post("/api/reviews", json={}).status_code == 401


def test_a_message_that_was_withheld_is_told_with_its_reason(site: Site) -> None:
    site.conclude(unflagged_reason="made by a sweep, and the study has no date")
    page = site.client.get(f"/studies/{UID}").text
    assert "No message: made by a sweep, and the study has no date." in page


def test_the_api_says_what_the_pages_show(site: Site) -> None:
    site.header(site.conclude())
    (line,) = site.client.get("/api/studies", params={"outcome": "POSITIVE"}).json()["studies"]
    assert (line["study_instance_uid"], line["analysis"]["probability"]) == (UID, 0.9)
    study = site.client.get(f"/api/studies/{UID}").json()
    assert study["analyses"][0]["findings"][0]["operating_point"] == "specific"
    assert study["analyses"][0]["results"][0]["deliveries"][0]["state"] == "PENDING"
    review = {
        "study_instance_uid": UID,
        "analysis_revision": 1,
        "sop_instance_uid": IMAGE,
        "outcome": "ELSEWHERE",
        "box": {"left": 1, "top": 2, "width": 3, "height": 4},
    }
    headers = {"X-CSRF-Token": site.csrf_token, "Origin": "https://w"}
    entered = site.client.post("/api/reviews", json=review, headers=headers)
    assert (entered.status_code, entered.json()["reader"]) == (201, "dr.quinn")
    (kept,) = site.client.get(f"/api/studies/{UID}/reviews").json()
    assert (kept["box"], kept["fractured"]) == (review["box"], True)
    unlike = review | {"box": {"left": 99, "top": 2, "width": 3, "height": 4}}
    assert site.client.post("/api/reviews", json=unlike, headers=headers).status_code == 400
    assert len(site.reviews()) == 1
    assert site.client.get("/api/studies?outcome=URGENT").status_code == 422
    assert site.client.get("/api/studies?after=x").status_code == 422
    schema = site.client.get("/api/openapi.json").json()
    assert set(schema["paths"]) == {
        "/api/studies",
        "/api/studies/{study_instance_uid}",
        "/api/studies/{study_instance_uid}/reviews",
        "/api/reviews",
    }


def test_a_ledger_that_is_away_is_told_and_nothing_else(site: Site) -> None:
    site.conclude()
    with site.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE analysis RENAME TO away")
    answer = site.client.get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    require_harmless(answer.text)
    assert site.client.get("/api/studies").json().keys() == {"detail"}


def test_newly_concluded_studies_are_told_as_they_come_without_a_name(site: Site) -> None:
    cookies = session_cookie(site.parts)
    with (
        serve(site.app) as address,
        httpx.Client(base_url=address, cookies=cookies, timeout=60) as client,
        client.stream("GET", "/events?after=0") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == "retry: 5000"
        site.conclude(outcome=Outcome.DOUBTFUL)
        data = next(line for line in lines if line.startswith("data:"))
    assert json.loads(data.removeprefix("data:")) == {"DOUBTFUL": 1}
