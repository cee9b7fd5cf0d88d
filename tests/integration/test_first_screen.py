"""What a reader sees without scrolling: the verdict, its number, its certainty and its picture."""

import os

import pytest
from browser import Browser, chromium

from reports.report import build_report

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = chromium()
    if program is None:
        # In CI a skip would hide that these tests never run.
        assert not os.environ.get("CI"), "no chromium here: apt-get install chromium"
        pytest.skip("no chromium on this machine")
    with Browser(program, tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def index(store, tmp_path_factory):
    return build_report(store.uri, "losses", "tiny", tmp_path_factory.mktemp("page")).index


@pytest.mark.parametrize(
    ("width", "height", "shown"),
    [(1440, 900, (".lead", "#forest svg")), (1024, 768, (".lead",)), (390, 844, (".lead b",))],
)
def test_the_first_screen_has_the_verdict_and_a_desktop_its_picture(
    browser, index, width, height, shown
):
    browser.open(index, width=width, height=height)
    for part in shown:
        box = f"document.querySelector('{part}').getBoundingClientRect()"
        assert browser.evaluate(f"{box}.height") > 0
        assert browser.evaluate(f"{box}.bottom") <= height, part
        assert browser.evaluate(f"{box}.right") <= width, part
    text = browser.evaluate("document.querySelector('.lead').innerText").replace("\xa0", " ")
    assert "Settled" in text.splitlines()[0]
    assert "the 95 % interval runs from +" in text
