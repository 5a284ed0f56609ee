"""The report in a real browser: what it draws, where it ends, what it complains about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from caliche.report import write_report

pytestmark = [pytest.mark.browser, pytest.mark.ci, pytest.mark.drawn]

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
)

_FIGURES = """
return [...document.querySelectorAll('figure')].map(figure => {
  const svg = figure.querySelector('svg').getBoundingClientRect();
  const box = figure.getBoundingClientRect();
  const scroll = figure.querySelector('.scroll').getBoundingClientRect();
  return {svg: [svg.left, svg.right, svg.width, svg.height],
          box: [box.left, box.right], scroll: [scroll.left, scroll.right]};
});
"""
# Text that leaves its drawing is cut off at the drawing's edge.
_CUT_TEXT = """
return [...document.querySelectorAll('figure svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const t = text.getBoundingClientRect();
    return t.left < box.left - 1 || t.right > box.right + 1
        || t.top < box.top - 1 || t.bottom > box.bottom + 1;
  }).map(text => text.textContent);
});
"""


# What sticks out of the page, unless in a box that scrolls; and boxes that have to scroll.
_WIDER = """
const width = document.documentElement.clientWidth;
return [...document.querySelectorAll('body *')].filter(element => !element.closest('svg')
    && !element.parentElement.closest('.scroll')
    && element.getBoundingClientRect().right > width + 1).map(element => element.tagName);
"""
_CUT_TABLES = """
return [...document.querySelectorAll('.scroll:has(> table)')]
    .filter(box => box.scrollWidth > box.clientWidth + 1)
    .map(box => box.getAttribute('aria-label'));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A fresh headless Chromium; without one the tests are skipped, on CI they fail."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        _unavailable("selenium is not installed")
    binary = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        _unavailable("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    session = webdriver.Chrome(options=options, service=Service(driver))
    yield session
    session.quit()


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must run the browser tests")
    pytest.skip(f"{reason}; the report was not looked at in a browser")


def _open(browser: Any, path: Path, width: int) -> None:
    # The emulated width is exact, where a window cannot be made narrower than some 500 px.
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get(path.as_uri())


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as the command line makes it."""
    from caliche import load_experiment, run_experiment

    folder = tmp_path_factory.mktemp("real") / "run"
    return run_experiment(load_experiment("twin-two-depths"), starts=3, out=folder).folder


@pytest.fixture(params=["real", "usual", "year", "smallest"])
def report(request: pytest.FixtureRequest, build_run: Any) -> Path:
    if request.param == "real":
        return write_report(request.getfixturevalue("real_run"))
    options: dict[str, Any] = {
        "usual": {},
        "year": {"steps": 17520, "step_minutes": 30, "starts": 50, "iterations": 200},
        "smallest": {
            "steps": 100,
            "starts": 1,
            "parameters": ("thermal_conductivity",),
            "energy": False,
            "streams": ("soil_temperature_0.05m",),
            "holdout": False,
            "converged": False,
        },
    }[request.param]
    return write_report(build_run(**options))


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_in_a_browser(browser: Any, report: Path, width: int) -> None:
    _open(browser, report, width)
    assert browser.execute_script("return window.innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(_WIDER) == []
    assert width < 1000 or browser.execute_script(_CUT_TABLES) == []
    figures = browser.execute_script(_FIGURES)
    assert len(figures) >= 3
    for figure in figures:
        left, right, drawn_width, drawn_height = figure["svg"]
        assert drawn_width > 200
        assert drawn_height > 50
        assert figure["box"][0] >= 0
        assert figure["box"][1] <= width
        # On a phone a figure keeps its size and scrolls in a box within the page.
        visible = (left, right) if width > 720 else figure["scroll"]
        assert visible[0] >= 0
        assert visible[1] <= width
    assert browser.execute_script(_CUT_TEXT) == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


@pytest.fixture(scope="module")
def windows_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of another command, with a table of many columns."""
    from caliche import load_experiment
    from caliche.commands.assimilate.page import write_assimilation_page
    from caliche.commands.assimilate.run import run_assimilation

    folder = tmp_path_factory.mktemp("windows") / "run"
    run_assimilation(load_experiment("twin-two-depths"), 1.0, out=folder)
    return write_assimilation_page(folder)


@pytest.mark.parametrize("width", [1400, 1000, 390])
def test_a_wide_table_uses_the_margin_and_then_scrolls(
    browser: Any, windows_page: Path, width: int
) -> None:
    _open(browser, windows_page, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(_WIDER) == []
    assert (browser.execute_script(_CUT_TABLES) == []) == (width == 1400)


def test_every_entry_of_the_contents_leads_somewhere(browser: Any, run_folder: Path) -> None:
    _open(browser, write_report(run_folder), 1280)
    links = browser.find_elements("css selector", "nav a")
    assert len(links) == 9
    for link in links:
        link.click()
        target = browser.execute_script("return document.querySelector(location.hash) !== null")
        assert target
