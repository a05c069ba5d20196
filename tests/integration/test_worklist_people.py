"""Signing in, sessions, roles, CSRF, trusted proxies, and the headers of every answer."""

import logging
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from db.session import make_engine, upgrade
from db.states import Role
from tests.integration.worklist_site import (
    ADDRESS,
    CHEAP,
    HOST,
    PASSWORD,
    RULES,
    Browser,
    Site,
)
from worklist.pages.sign_in import own_path
from worklist.parts import TrustedProxy
from worklist.people import passwords

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

WRONG = "not the password"


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hasher(monkeypatch, CHEAP)


@pytest.fixture
def site(ledger_engine: Engine, tmp_path: Path, cheap_hashes: None) -> Site:
    """With a reader, anna, and an administrator, boss."""
    site = Site(ledger_engine, tmp_path)
    site.add("anna")
    site.add("boss", Role.ADMIN)
    return site


@pytest.fixture
def sqlite_site(tmp_path: Path, cheap_hashes: None) -> Site:
    """Where the database makes no difference."""
    engine = make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    upgrade(engine)
    site = Site(engine, tmp_path)
    site.add("anna")
    site.add("boss", Role.ADMIN)
    return site


def use_hasher(monkeypatch: pytest.MonkeyPatch, hasher: PasswordHasher) -> None:
    monkeypatch.setattr(passwords, "_hasher", hasher)
    passwords._decoy.cache_clear()


def signed_in(site: Site, name: str = "anna") -> Browser:
    browser = site.browser()
    assert browser.sign_in(name).status_code == 303
    return browser


# Signing in and out


def test_the_right_password_signs_in_and_leads_on(site: Site) -> None:
    browser = site.browser()
    sent = browser.get("/probe?a=1")
    assert sent.status_code == 303
    assert sent.headers["location"] == "/sign-in?next=%2Fprobe%3Fa%3D1"
    form = browser.get(sent.headers["location"])
    assert 'value="/probe?a=1"' in form.text
    answer = browser.sign_in(" Anna ", next_path="/probe?a=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/probe?a=1")
    assert browser.get("/probe").json()["name"] == "anna"
    assert browser.get("/sign-in?next=/probe").headers["location"] == "/probe"


def test_the_cookie_is_for_this_host_by_https_and_out_of_reach_of_scripts(site: Site) -> None:
    cookie = site.browser().sign_in("anna").headers["set-cookie"]
    name, _, attributes = cookie.partition("=")
    assert name == "__Host-fracture-screen"
    assert {one.strip() for one in attributes.split(";")[1:]} == {
        "HttpOnly",
        "Path=/",
        "SameSite=Lax",
        "Secure",
    }


def test_each_sign_in_has_a_token_of_its_own_and_ends_the_one_before(site: Site) -> None:
    browser = site.browser()
    browser.client.cookies.set("__Host-fracture-screen", "planted", domain=HOST, path="/")
    browser.sign_in("anna")
    first = browser.token
    browser.sign_in("anna")
    second = browser.token
    assert len({"planted", first, second}) == 3
    for old in ("planted", first):
        other = site.browser()
        other.client.cookies.set("__Host-fracture-screen", old, domain=HOST, path="/")
        assert other.get("/probe").status_code == 303


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", WRONG), ("nobody", PASSWORD), ("", ""), ("anna\0", "\0"), ("chen", PASSWORD)],
)
def test_whatever_is_wrong_the_words_are_the_same(site: Site, name: str, password: str) -> None:
    site.accounts.add("chen", Role.READER, "", "test@here")  # by the proxy only
    answer = site.browser().sign_in(name, password)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert answer.text == site.browser().sign_in("boss", WRONG).text


def test_the_right_password_of_a_locked_or_disabled_account_gets_the_same_words(
    site: Site,
) -> None:
    wrong = site.browser().sign_in("nobody").text
    for _ in range(RULES.failures_to_lock):
        site.browser().sign_in("anna", WRONG)
    assert site.browser().sign_in("anna").text == wrong
    site.accounts.disable("anna", "test@here")
    site.accounts.unlock("anna", "test@here")
    assert site.browser().sign_in("anna").text == wrong


def test_guesses_at_once_lock_the_account(site: Site) -> None:
    browsers = [site.browser() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda browser: browser.sign_in("anna", WRONG), browsers))
    assert [answer.status_code for answer in answers] == [401] * 8
    assert site.browser().sign_in("anna").status_code == 401
    found = site.accounts.find("anna")
    assert found is not None
    assert found.failed_sign_ins == RULES.failures_to_lock


def test_an_address_with_many_failures_must_wait_and_others_need_not(sqlite_site: Site) -> None:
    site = sqlite_site
    for number in range(30):
        assert site.browser().sign_in(f"guess{number}").status_code == 401
    throttled = site.browser().sign_in("anna")
    assert throttled.status_code == 429
    assert throttled.headers["retry-after"] == "300"
    assert "5 minutes" in throttled.text
    assert site.browser(address="192.0.2.8").sign_in("anna").status_code == 303
    site.clock.forward(timedelta(minutes=5))
    assert site.browser().sign_in("anna").status_code == 303


def test_whoever_gets_no_turn_to_be_checked_is_told_to_try_again(
    sqlite_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_LONGEST_WAIT_S", 0.05)
    with passwords._turn(), passwords._turn():
        busy = [sqlite_site.browser().sign_in("anna") for _ in range(31)]
    assert {answer.status_code for answer in busy} == {503}
    assert sqlite_site.events("sign-in refused") == []
    signed_in(sqlite_site)  # neither account nor address were held for guessing


def test_an_unknown_name_costs_as_much_time_as_a_known_one(
    sqlite_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hasher(monkeypatch, PasswordHasher())
    site = sqlite_site
    site.accounts.set_password("anna", passwords.hash_password(PASSWORD, "anna"), "test@here")
    site.browser().sign_in("nobody")

    def seconds(name: str) -> float:
        site.accounts.unlock("anna", "test@here")
        start = time.perf_counter()
        site.browser().sign_in(name, WRONG)
        return time.perf_counter() - start

    pairs = [(seconds("nobody"), seconds("anna")) for _ in range(5)]
    unknown, known = (statistics.median(side) for side in zip(*pairs, strict=True))
    assert 1 / 3 < unknown / known < 3


def test_a_hash_of_older_parameters_is_renewed_at_the_next_sign_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    use_hasher(monkeypatch, newer)
    signed_in(site)
    assert "m=8,t=2,p=1" in site.everything_stored()
    signed_in(site)


def test_a_page_without_accounts_says_how_to_add_the_first(
    ledger_engine: Engine, tmp_path: Path
) -> None:
    site = Site(ledger_engine, tmp_path)
    command = "fracture-screen users add NAME --role admin"
    assert command in site.browser().get("/sign-in").text
    site.add("anna")
    assert command not in site.browser().get("/sign-in").text


def test_signing_out_ends_the_session_and_forgets_the_cookie(site: Site) -> None:
    browser = signed_in(site)
    token = browser.token
    answer = browser.post("/sign-out", {"csrf_token": browser.csrf_token()})
    assert answer.headers["location"] == "/sign-in"
    assert browser.token == ""
    browser.client.cookies.set("__Host-fracture-screen", token, domain=HOST, path="/")
    assert browser.get("/probe").status_code == 303
    assert browser.post("/sign-out").status_code == 303  # twice does no harm


@pytest.mark.parametrize(
    "path",
    [
        "//evil.test",
        "https://evil.test/",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "/\n/evil.test",
        " //evil.test",
        "javascript:alert(1)",
        "evil.test",
        "/sign-out",
        "",
    ],
)
def test_next_leads_nowhere_else(sqlite_site: Site, path: str) -> None:
    answer = sqlite_site.browser().sign_in("anna", next_path=path)
    assert answer.headers["location"] == "/"


@given(st.text(max_size=30))
def test_any_next_stays_on_the_site(text: str) -> None:
    path = own_path("/" + text)
    assert path.startswith("/")
    assert path[1:2] not in ("/", "\\")
    assert not any(ord(one) < 0x21 for one in path)


# CSRF


def test_a_change_needs_the_sessions_own_csrf_token(site: Site) -> None:
    browser, other = signed_in(site), signed_in(site)
    assert browser.post("/probe").status_code == 403
    assert browser.post("/probe", {"csrf_token": "wrong"}).status_code == 403
    assert browser.post("/probe", {"csrf_token": other.csrf_token()}).status_code == 403
    assert browser.post("/probe", {"csrf_token": browser.csrf_token()}).status_code == 200
    assert browser.post("/probe", X_CSRF_Token=browser.csrf_token()).status_code == 200
    assert browser.client.post(
        "/probe", json={}, headers={"X-CSRF-Token": browser.csrf_token()}
    ).is_success


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": f"https://{HOST}.evil.test"},
        {"Origin": f"https://{HOST}:8443"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_request_from_another_site_is_refused_whatever_it_holds(
    sqlite_site: Site, headers: dict[str, str]
) -> None:
    browser = signed_in(sqlite_site)
    token = browser.csrf_token()
    assert browser.post("/probe", {"csrf_token": token}, **headers).status_code == 403
    assert browser.post("/sign-out", {"csrf_token": token}, **headers).status_code == 403
    form = {"name": "anna", "password": PASSWORD}
    assert sqlite_site.browser().post("/sign-in", form, **headers).status_code == 403
    assert browser.get("/probe").status_code == 200


# Who may what


def test_a_page_sends_to_sign_in_and_an_interface_answers_with_a_problem(site: Site) -> None:
    browser = site.browser()
    assert browser.get("/probe").status_code == 303
    for answer in (
        browser.get("/api/probe"),
        browser.post("/probe"),
        browser.get("/events"),
        browser.get("/probe", Sec_Fetch_Dest="image"),
    ):
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["title"] == "Unauthorized"


def test_administration_is_for_administrators(site: Site) -> None:
    reader, admin = signed_in(site), signed_in(site, "boss")
    for path in ("/admin-probe", "/api/admin-probe", "/people", "/trail", "/trail/export"):
        refused = reader.get(path)
        assert refused.status_code == 403
        assert refused.json()["detail"].startswith("Only administrators")
        assert admin.get(path).status_code == 200
    as_page = reader.get("/people", Accept="text/html")
    assert as_page.status_code == 403
    assert "<h1" in as_page.text
    change = {"name": "boss", "csrf_token": reader.csrf_token()}
    assert reader.post("/people/disable", change).status_code == 403


def test_a_session_idle_for_too_long_has_to_sign_in_again(site: Site) -> None:
    browser = signed_in(site)
    site.clock.forward(RULES.idle)
    assert browser.get("/probe").status_code == 303
    assert browser.post("/probe").status_code == 401


def test_disabling_an_account_ends_its_sessions_at_once(site: Site) -> None:
    reader, admin = signed_in(site), signed_in(site, "boss")
    form = {"name": "anna", "csrf_token": admin.csrf_token()}
    assert admin.post("/people/disable", form).headers["location"] == "/people"
    assert reader.get("/probe").status_code == 303
    assert site.browser().sign_in("anna").status_code == 401
    (line,) = site.events("account disabled")
    assert (line.actor, line.subject, line.details) == ("boss", "anna", {"address": ADDRESS})
    admin.post("/people/enable", form)
    signed_in(site)


def test_accounts_are_unlocked_and_signed_out_by_the_page(site: Site) -> None:
    reader, admin = signed_in(site), signed_in(site, "boss")
    form = {"name": "anna", "csrf_token": admin.csrf_token()}
    admin.post("/people/end-sessions", form)
    assert reader.get("/probe").status_code == 303
    for _ in range(RULES.failures_to_lock):
        site.browser().sign_in("anna", WRONG)
    shown = admin.get("/people").text
    assert "until 2024-03-01 01:14" in shown  # of Berlin
    assert "Unlock: anna" in shown
    admin.post("/people/unlock", form)
    signed_in(site)


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [("disable", "boss", 409), ("disable", "nobody", 409), ("erase", "anna", 404)],
)
def test_what_cannot_be_done_to_an_account_is_said(
    site: Site, change: str, name: str, status: int
) -> None:
    admin = signed_in(site, "boss")
    form = {"name": name, "csrf_token": admin.csrf_token()}
    answer = admin.post(f"/people/{change}", form, Accept="text/html")
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert admin.get("/probe").status_code == 200


# The trail


def test_the_trail_is_shown_by_pages_and_filters_and_hides_nothing(site: Site) -> None:
    for number in range(60):
        site.trail.note("<script>", "opened study", f"1.2.{number}", {"x": "\u202e=cmd"})
    admin = signed_in(site, "boss")
    first = admin.get("/trail?action=opened+study").text
    assert first.count("<tr>") == 51
    assert "&lt;script&gt;" in first
    assert "<script>" not in first
    older = first.split('rel="next"')[0].rpartition('href="')[2].rpartition('"')[0]
    second = admin.get(older.replace("&amp;", "&")).text
    assert second.count("<tr>") == 11
    assert "<bdi>1.2.9</bdi>" in second
    assert "No event matches" in admin.get("/trail?actor=nobody&since=2020-01-01").text
    for bad in ("since=yesterday", "until=9999-12-31", "before=0"):
        assert 400 <= admin.get(f"/trail?{bad}").status_code < 500


def test_reading_and_exporting_the_trail_are_lines_of_it(site: Site) -> None:
    admin = signed_in(site, "boss")
    admin.get("/trail?actor=anna")
    exported = admin.get("/trail/export?since=2024-01-01")
    assert exported.headers["content-disposition"].startswith("attachment")
    lines = exported.text.splitlines()
    assert len(lines) == len(site.events())
    assert 'originalText="Audit Log Used"' in lines[-1]
    viewed, taken = site.events("viewed audit trail") + site.events("exported audit trail")
    assert viewed.details == {"address": ADDRESS, "actor": "anna"}
    assert taken.details == {"address": ADDRESS, "since": "2024-01-01"}


def test_no_password_or_token_is_in_a_table_or_a_log(
    site: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logged:
        browser = signed_in(site, "boss")
        browser.sign_in(PASSWORD, PASSWORD)  # the password typed as the name
        browser.sign_in("anna", f"{PASSWORD}wrong")
        browser.get("/trail")
        browser.get("/broken")
        for _ in range(40):
            site.browser().sign_in("nobody", PASSWORD)
        token, csrf_token = browser.token, browser.csrf_token()
    output = "".join(capsys.readouterr())
    logs = "\n".join(str(one) for one in (*caplog.messages, *logged, output))
    assert "sign_in_throttled" in logs
    stored = site.everything_stored()
    for secret in (PASSWORD, PASSWORD.lower(), token):
        assert secret not in logs
        assert secret not in stored
    assert csrf_token not in logs
    assert csrf_token not in str(site.events())


# A trusted reverse proxy


def test_whom_a_trusted_proxy_names_is_signed_in_with_a_session_and_csrf(site: Site) -> None:
    browser = site.with_proxy().browser(address="10.1.0.9")
    named = {"X_Forwarded_User": "Anna"}
    answer = browser.get("/probe", **named)
    assert answer.json()["name"] == "anna"
    assert browser.token
    assert browser.get("/probe", **named).json() == answer.json()  # the same session
    assert browser.post("/probe", **named).status_code == 403
    form = {"csrf_token": answer.json()["csrf_token"]}
    assert browser.post("/probe", form, **named).json() == {"changed": "anna"}
    (line,) = site.events("signed in")
    assert line.details == {"address": "10.1.0.9", "by": "proxy"}


@pytest.mark.parametrize("address", ["10.0.0.6", "10.1.0.16", ADDRESS, "testclient", "::1"])
def test_the_header_from_a_foreign_address_is_not_believed(site: Site, address: str) -> None:
    browser = site.with_proxy().browser(address=address)
    named = {"X_Forwarded_User": "boss", "X_Forwarded_For": "10.0.0.5"}
    assert browser.get("/probe", **named).status_code == 303
    assert site.events("signed in") == []


def test_without_a_trusted_proxy_nobody_is_believed(site: Site) -> None:
    browser = site.browser(address="10.0.0.5")
    assert browser.get("/probe", X_Forwarded_User="boss").status_code == 303


def test_the_proxys_address_within_ipv6_is_its_address(sqlite_site: Site) -> None:
    browser = sqlite_site.with_proxy().browser(address="::ffff:10.0.0.5")
    assert browser.get("/probe", X_Forwarded_User="anna").status_code == 200


def test_two_names_at_once_are_believed_in_none(sqlite_site: Site) -> None:
    browser = sqlite_site.with_proxy().browser(address="10.0.0.5")
    two = [("X-Forwarded-User", "boss"), ("X-Forwarded-User", "anna")]
    assert browser.client.get("/probe", headers=two).status_code == 303


@pytest.mark.parametrize("name", ["nobody", "chen"])
def test_a_proxy_that_names_nobody_of_ours_is_refused_even_beside_a_session(
    site: Site, name: str
) -> None:
    site.add("chen")
    site.accounts.disable("chen", "test@here")
    behind = site.with_proxy().browser(address="10.0.0.5")
    behind.sign_in("anna")
    assert behind.get("/probe", X_Forwarded_User=name).status_code == 403


def test_another_person_at_the_proxy_gets_another_session(sqlite_site: Site) -> None:
    browser = sqlite_site.with_proxy().browser(address="10.0.0.5")
    browser.get("/probe", X_Forwarded_User="anna")
    first = browser.token
    assert browser.get("/probe", X_Forwarded_User="boss").json()["name"] == "boss"
    assert browser.token != first


def test_the_address_behind_a_proxy_is_the_one_that_the_proxy_adds(sqlite_site: Site) -> None:
    behind = sqlite_site.with_proxy(TrustedProxy(("10.0.0.5",), "X-User"))
    browser = behind.browser(address="10.0.0.5")
    form = {"name": "anna", "password": PASSWORD}
    browser.post("/sign-in", form, X_Forwarded_For="1.1.1.1, 203.0.113.9")
    sqlite_site.browser().post("/sign-in", form, X_Forwarded_For="1.1.1.1")
    assert [one.details["address"] for one in behind.events("signed in")] == [
        "203.0.113.9",
        ADDRESS,
    ]


# Headers

EXPECTED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000",
    "cross-origin-opener-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sign-in", 200),
        ("GET", "/probe", 303),
        ("GET", "/api/probe", 401),
        ("GET", "/nothing-here", 404),
        ("DELETE", "/sign-in", 405),
        ("GET", "/trail?before=x", 303),
        ("GET", "/broken", 500),
        ("POST", "/sign-in", 401),
    ],
)
def test_every_answer_has_all_headers(
    sqlite_site: Site, method: str, path: str, status: int
) -> None:
    answer = sqlite_site.browser().client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in EXPECTED} == EXPECTED
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_an_exception_tells_nothing_of_itself(sqlite_site: Site) -> None:
    text = sqlite_site.browser().get("/broken").text
    assert "probe" not in text
    assert "log" in text


def test_only_https_promises_https(sqlite_site: Site) -> None:
    answer = sqlite_site.browser(scheme="http").get("/sign-in")
    assert "strict-transport-security" not in answer.headers


def test_without_secure_cookies_the_page_works_over_http(sqlite_site: Site) -> None:
    site = replace(sqlite_site, rules=replace(RULES, secure_cookies=False))
    browser = site.browser(scheme="http")
    cookie = browser.sign_in("anna").headers["set-cookie"]
    assert cookie.startswith("fracture-screen=")
    assert "Secure" not in cookie
    assert browser.get("/probe").status_code == 200


def test_a_request_too_large_is_refused_before_it_is_read(sqlite_site: Site) -> None:
    browser = sqlite_site.browser()
    announced = browser.post("/sign-in", {"name": "x" * 2**20})
    assert announced.status_code == 413
    assert announced.headers["x-content-type-options"] == "nosniff"
    pieces = (b"name=" + b"x" * 2**16 for _ in range(32))
    form = {"Content-Type": "application/x-www-form-urlencoded", **browser.origin}
    chunked = browser.client.post("/sign-in", content=pieces, headers=form)
    assert chunked.status_code in (400, 413)


def test_pages_hold_no_inline_script_or_style(site: Site) -> None:
    admin = signed_in(site, "boss")
    for path in ("/people", "/trail"):
        html = admin.get(path).text
        assert (
            re.findall(r"<script(?! src=\"/static/)|<style| style=| on[a-z]+=|javascript:", html)
            == []
        )
