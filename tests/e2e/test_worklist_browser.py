"""The worklist in a real browser, over a ledger that the real pipeline filled.

Headless Chromium filters, opens, toggles, draws, answers and exports; axe looks for what keeps
people from using a page (WCAG 2.2 AA).
"""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from db.outcomes import OUTCOMES
from db.reviews import Reviews
from db.states import ReviewOutcome
from tests.radiographs import Phantom, write_phantom
from tests.screened_site import ScreenedSite
from tests.servers.ports import free_port
from tests.servers.product import destination_toml, wait_for
from tests.worklist_people import PASSWORD
from worker.composition import utc_now
from worker.reviews.table import read_reviews

PATIENCE_S = 60
HOSTILE = "<script>document.title='owned'</script>^=cmd"
PHONE = {"width": 390, "height": 844, "pixelRatio": 2.0}
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}

pytestmark = pytest.mark.timeout(900)


def named(phantom: Phantom, name: str, body_part: str = "HAND") -> Path:
    """The same radiograph of somebody else."""
    dataset = pydicom.dcmread(phantom.path)
    dataset.PatientName, dataset.BodyPartExamined = name, body_part
    dataset.save_as(phantom.path)
    return phantom.path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> ScreenedSite:
    """Phantoms with and without fracture, one out of scope, one that still waits."""
    folder = tmp_path_factory.mktemp("worklist")
    site = ScreenedSite(folder / "site", destination_toml("hospital PACS", "PACS", free_port()))
    site.receive(
        [
            named(write_phantom(folder, "flagged", 1), "Müller^Änne"),
            named(write_phantom(folder, "other", 2), HOSTILE),
            named(write_phantom(folder, "skull", 3), "Skull^Sam", "SKULL"),
        ]
    )
    site.screen()
    site.receive([named(write_phantom(folder, "late", 4), "Late^Lou")])
    return site


@pytest.fixture(scope="module")
def address(site: ScreenedSite) -> Iterator[str]:
    with site.served() as address:
        yield address


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    yield from running(downloads)


@pytest.fixture
def phone(downloads: Path) -> Iterator[webdriver.Chrome]:
    yield from running(downloads, {"deviceMetrics": {**PHONE, "touch": True}})


def running(downloads: Path, emulation: object = None) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1600,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    if emulation:
        options.add_experimental_option("mobileEmulation", emulation)
    driver = webdriver.Chrome(options, Service(str(shutil.which("chromedriver"))))
    try:
        yield driver
        severe = [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        assert severe == [], "the page's console"
    finally:
        driver.quit()


def sign_in(browser: webdriver.Chrome, address: str) -> None:
    """As people do."""
    browser.get(address)
    find(browser, "input[name=name]").send_keys("dr.quinn")
    find(browser, "input[name=password]").send_keys(PASSWORD, Keys.ENTER)
    find(browser, ".studies")


def find(browser: webdriver.Chrome, selector: str) -> WebElement:
    """The first one, once it is there."""
    WebDriverWait(browser, PATIENCE_S).until(
        lambda _: browser.find_elements(By.CSS_SELECTOR, selector), selector
    )
    return browser.find_element(By.CSS_SELECTOR, selector)


def press(browser: webdriver.Chrome, *keys: str) -> None:
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def names(browser: webdriver.Chrome) -> list[str]:
    return [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".studies .name")]


def open_study(browser: webdriver.Chrome, address: str, name: str) -> None:
    """From the list, and wait until its pictures stand."""
    browser.get(f"{address}/?q={name}")
    find(browser, ".studies .patient a").click()
    find(browser, "section.image")
    WebDriverWait(browser, PATIENCE_S).until(
        lambda _: browser.execute_script(
            "return [...document.images].every((one) => one.complete && one.naturalWidth)"
        ),
        "the pictures are loaded",
    )


def require_accessible(browser: webdriver.Chrome, where: str) -> None:
    found = Axe().run(browser, options={"runOnly": RULES})
    assert len(found["passes"]) > 10, "it looked at the page"
    grave = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert grave == [], (where, [(one["id"], one["nodes"][0]["html"]) for one in grave])


def test_a_reader_filters_opens_draws_answers_and_an_administrator_exports(
    browser: webdriver.Chrome, address: str, site: ScreenedSite, downloads: Path, tmp_path: Path
) -> None:
    sign_in(browser, address)
    assert len(names(browser)) == 4
    assert browser.title == "Studies · Fracture Screen"  # and no name's script changed it
    find(browser, ".tab.positive").click()
    assert "Müller, Änne" in names(browser)
    press(browser, "/", "mul", Keys.ENTER)
    WebDriverWait(browser, PATIENCE_S).until(lambda _: "q=mul" in browser.current_url)
    assert names(browser) == ["Müller, Änne"]
    press(browser, "j", Keys.ENTER)
    find(browser, "section.image")
    WebDriverWait(browser, PATIENCE_S).until(
        lambda _: browser.execute_script("return document.querySelector('.heat').naturalWidth")
    )

    heat = find(browser, ".heat")
    assert heat.is_displayed()
    press(browser, "h")
    assert not heat.is_displayed()
    press(browser, "h")
    assert heat.is_displayed()
    browser.execute_script(
        "const range = document.querySelector('[data-range=opacity]'); range.value = 40;"
        "range.dispatchEvent(new Event('input'))"
    )
    assert float(heat.value_of_css_property("opacity")) == pytest.approx(0.4)

    draw_box(browser)
    drawn = [int(str(field(browser, name).get_attribute("value"))) for name in BOX]
    find(browser, ".main-action").click()
    find(browser, ".saved")
    (review,) = Reviews(site.engine, utc_now).history(uid_of(site))
    assert (review.outcome, review.fractured) == (ReviewOutcome.ELSEWHERE, True)
    assert [review.box_left, review.box_top, review.box_width, review.box_height] == drawn

    find(browser, "a[href='/reviews/export']").click()
    table = wait_for(lambda: next(downloads.glob("*.csv"), None), "the table is there")
    assert read_reviews(table) == [review]
    with table.open() as file:
        assert next(csv.DictReader(file))["reader"] == "dr.quinn"


BOX = ("box_left", "box_top", "box_width", "box_height")


def field(browser: webdriver.Chrome, name: str) -> WebElement:
    return browser.find_element(By.NAME, name)


def uid_of(site: ScreenedSite) -> str:
    """Of the image that was answered."""
    return Reviews(site.engine, utc_now).in_force()[0].review.sop_instance_uid


def draw_box(browser: webdriver.Chrome) -> None:
    """From a quarter to half of the picture, which is what its numbers must say."""
    find(browser, "[name=outcome][value=ELSEWHERE]").click()
    stack = find(browser, "[data-pane=plain] .stack")
    width, height = stack.size["width"], stack.size["height"]
    drag = ActionChains(browser).move_to_element_with_offset(stack, -width // 4, -height // 4)
    drag.click_and_hold().move_by_offset(width // 4, height // 4).release().perform()
    viewer = find(browser, "[data-viewer]")
    columns, rows = (int(str(viewer.get_attribute(f"data-{x}"))) for x in ("columns", "rows"))
    left, top, wide, high = (int(str(field(browser, one).get_attribute("value"))) for one in BOX)
    for number, expected in ((left, columns / 4), (wide, columns / 4)):
        assert number == pytest.approx(expected, abs=columns / 50)
    for number, expected in ((top, rows / 4), (high, rows / 4)):
        assert number == pytest.approx(expected, abs=rows / 50)


def test_the_picture_is_zoomed_moved_and_windowed_by_keys_alone(
    browser: webdriver.Chrome, address: str
) -> None:
    sign_in(browser, address)
    open_study(browser, address, "mul")
    stack = find(browser, "[data-pane=heat] .stack")
    fitted = stack.size["width"]
    press(browser, "+", "+")
    assert stack.size["width"] == pytest.approx(fitted * 1.25**2, rel=0.02)
    browser.execute_script("document.querySelector('[data-stage]').focus()")
    before = stack.location["x"]
    press(browser, Keys.ARROW_RIGHT)
    assert stack.location["x"] == before - 60
    press(browser, "0")
    assert stack.size["width"] == fitted
    press(browser, "]", ",", "i")
    picture = find(browser, ".heat")
    assert picture.value_of_css_property("filter").startswith("url(")
    slope = find(browser, "filter[id^=window-] feFuncR").get_attribute("slope")
    assert float(str(slope)) == pytest.approx(-1 / 0.94, rel=0.02)
    press(browser, "r")
    assert picture.value_of_css_property("filter") == "none"
    press(browser, "?")
    assert find(browser, "dialog[open]").is_displayed()


def test_no_page_keeps_anybody_from_using_it(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address)
    require_accessible(browser, "sign-in")
    sign_in(browser, address)
    for page in ("quality", "people", "trail"):
        browser.get(f"{address}/{page}")
        require_accessible(browser, page)
    browser.get(address)
    find(browser, ".filters summary").click()
    require_accessible(browser, "list")
    press(browser, "?")
    require_accessible(browser, "help")
    browser.get(f"{address}/?q=nobody")
    require_accessible(browser, "empty list")
    for query in ("q=mul", "q=skull", "outcome=WAITING"):
        browser.get(f"{address}/?{query}")
        find(browser, ".studies .patient a").click()
        find(browser, "section.image")
        require_accessible(browser, f"study by {query}")


def test_a_phone_shows_cards_and_nothing_reaches_out_of_it(
    phone: webdriver.Chrome, address: str
) -> None:
    sign_in(phone, address)
    find(phone, ".studies .name")
    require_no_sideways_scrolling(phone)
    require_accessible(phone, "list on a phone")
    open_study(phone, address, "mul")
    require_no_sideways_scrolling(phone)
    require_accessible(phone, "study on a phone")


def test_the_longest_outcome_is_not_cut_in_the_list(
    browser: webdriver.Chrome, address: str
) -> None:
    sign_in(browser, address)
    find(browser, ".studies .name")
    longest = max((terms.word for terms in OUTCOMES.values()), key=len)
    room, needed = browser.execute_script(
        "const cell = document.querySelector('.studies td.outcome');"
        "cell.querySelector('.sign').lastChild.textContent = arguments[0];"
        "return [cell.clientWidth, cell.scrollWidth]",
        longest,
    )
    assert needed <= room


def require_no_sideways_scrolling(browser: webdriver.Chrome) -> None:
    room, needed = browser.execute_script(
        "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    )
    assert needed <= room


def test_newly_concluded_studies_are_announced_and_shown_when_asked_for(
    browser: webdriver.Chrome, address: str, site: ScreenedSite, tmp_path: Path
) -> None:
    sign_in(browser, address)
    before = len(names(browser))
    site.receive([named(write_phantom(tmp_path, "new", 1), "New^Nina")])
    site.screen()
    bar = find(browser, "#news a")
    assert "newly concluded" in bar.text
    assert find(browser, "#news").get_attribute("role") == "status"
    assert len(names(browser)) == before  # nothing moves under the reader's hand
    bar.click()
    WebDriverWait(browser, PATIENCE_S).until(lambda _: "New, Nina" in names(browser))
