"""`make pictures`: docs/images from a demonstration that runs meanwhile, by a browser and pdftoppm.

Needs what `make test` needs: Chromium with its driver, and poppler-utils.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
from selenium import webdriver
from selenium.webdriver import Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

IMAGES = Path(__file__).resolve().parents[1] / "images"
SHOWN = "Forearm"
"""The study whose heatmap, report and page are shown."""

_PATIENCE_S = 600
_REPORT_DPI = 84
_WIDTH, _LIST_HEIGHT, _STUDY_HEIGHT = 1500, 700, 1010
_CHROMIUM_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_PICTURES_LOADED = (
    "return [...document.images].every((image) => image.complete && image.naturalWidth)"
)


def main() -> None:
    """Write every picture of the pages anew."""
    with (
        tempfile.TemporaryDirectory(prefix="fracture-screen-pictures-") as folder,
        _running_demo(Path(folder) / "demo") as answer,
        _browser() as browser,
    ):
        study = next(study for study in answer["studies"] if study["name"] == SHOWN)
        worklist = answer["worklist"]
        _write_heatmap(Path(study["heatmaps"][0]), IMAGES / "heatmap.png")
        _write_report(Path(study["report"]), IMAGES / "report.png")
        _sign_in(browser, worklist)
        _take(browser, IMAGES / "worklist.png", height=_LIST_HEIGHT)
        browser.get(f"{worklist['address']}/studies/{study['study_instance_uid']}")
        _take(browser, IMAGES / "worklist-study.png", height=_STUDY_HEIGHT)


@contextmanager
def _running_demo(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the answer of `demo --keep --json` while it runs."""
    command = [sys.executable, "-m", "worker.cli", "demo", "--out", str(out), "--keep", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None  # noqa: S101  # for the type checker
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if line == "}\n":
                    break
            if not lines or lines[-1] != "}\n":
                raise SystemExit("the demo gave no answer")
            yield json.loads("".join(lines))
        finally:
            demo.terminate()


def _write_heatmap(source: Path, target: Path) -> None:
    cv2.imwrite(str(target), cv2.imread(str(source)), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _write_report(source: Path, target: Path) -> None:
    options = ["-r", str(_REPORT_DPI), "-f", "1", "-singlefile", "-png"]
    subprocess.run(["pdftoppm", *options, str(source), str(target.with_suffix(""))], check=True)


@contextmanager
def _browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in _CHROMIUM_OPTIONS:
        options.add_argument(argument)
    browser = webdriver.Chrome(options, Service(str(shutil.which("chromedriver"))))
    try:
        yield browser
    finally:
        browser.quit()


def _sign_in(browser: webdriver.Chrome, worklist: dict[str, str]) -> None:
    browser.get(worklist["address"])
    browser.find_element(By.CSS_SELECTOR, "input[name=name]").send_keys(worklist["name"])
    password = browser.find_element(By.CSS_SELECTOR, "input[name=password]")
    password.send_keys(worklist["password"], Keys.ENTER)
    WebDriverWait(browser, _PATIENCE_S).until(
        lambda _: browser.find_elements(By.CSS_SELECTOR, ".studies"), "the list of studies"
    )


def _take(browser: webdriver.Chrome, target: Path, height: int) -> None:
    browser.set_window_size(_WIDTH, height)
    WebDriverWait(browser, _PATIENCE_S).until(
        lambda _: browser.execute_script(_PICTURES_LOADED), "the pictures are loaded"
    )
    browser.execute_script("document.activeElement.blur()")
    browser.save_screenshot(str(target))


if __name__ == "__main__":
    main()
