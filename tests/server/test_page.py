"""The page in a real browser: three clicks to the command's own result, and nothing asked of anybody else."""

import re
import shutil
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from idrestore import batch
from idrestore.files import image
from idrestore.model import checkpoint
from idrestore.restoration.restorer import Restorer

for name in ("gradio", "playwright.sync_api"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from playwright.sync_api import expect, sync_playwright  # noqa: E402
from serving import client, expected, serving  # noqa: E402
from small import tiny_file  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here"),
    # Gradio's statistics of its own queue, which nobody sees, by way of pandas.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated:DeprecationWarning"),
]
expect.set_options(timeout=60_000)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]


class Slow(Restorer):
    """Works on every photo until it is stopped."""

    def restore(self, image, *wish, **_):
        while True:
            wish[3](1, 100)
            time.sleep(0.01)


@pytest.fixture(autouse=True)
def _same_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # results hold the date of their making


@pytest.fixture(scope="module")
def restorers(tmp_path_factory):
    model = checkpoint.load(tiny_file(tmp_path_factory.mktemp("model"), licence="CC0"))
    return {"tiny": Restorer(model, "cpu", "fp32"), "slow": Slow(model, "cpu", "fp32")}


@pytest.fixture(scope="module")
def outside():
    """Collect the addresses outside this machine that this process, the server's, looks up or connects to."""
    found, watching = [], True

    def hook(event, arguments):
        if watching and event in ("socket.connect", "socket.getaddrinfo"):
            address = arguments[1] if event == "socket.connect" else arguments
            host = address[0] if isinstance(address, tuple) else ""
            if host and not re.match(r"127\.|::1$|localhost$", str(host)):
                found.append((event, host))

    sys.addaudithook(hook)
    yield found
    watching = False


@pytest.fixture(scope="module")
def served(restorers, outside, tmp_path_factory):
    with serving(restorers, page=tmp_path_factory.mktemp("page")) as (url, server):
        yield url, server


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, served, outside):
    """Open the page; at the end, nothing may have been asked of others, and nothing complained."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(served[0])
    yield page
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((f"{served[0]}/", "data:", "blob:"))] == []
    assert complaints == []
    assert outside == []


def noise(path, seed=0, size=(200, 300)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    image.write(pixels, path, image.Photo(pixels))
    return path


def result(restorers, path, **settings):
    return expected(restorers["tiny"], path.read_bytes(), path.name, batch.Settings(**settings)).data


def drop(page, *paths):
    page.set_input_files("input[type=file]", [str(path) for path in paths])
    expect(page.get_by_text(paths[-1].stem).first).to_be_visible()


def download(page):
    """Press Download and return the file that comes."""
    with page.expect_download() as coming:
        page.get_by_role("button", name=re.compile("^Download|Download ")).first.click()
    return Path(coming.value.path()), coming.value.suggested_filename


def test_three_clicks_bring_the_commands_result(page, restorers, tmp_path):
    path = noise(tmp_path / "holiday.jpg")
    drop(page, path)
    page.get_by_role("button", name="Restore", exact=True).click()
    after = page.get_by_alt_text("holiday.jpg, restored")
    expect(after).to_be_visible()
    expect(page.get_by_alt_text("holiday.jpg, as it came")).to_be_visible()
    assert after.evaluate("image => image.decode().then(() => image.naturalWidth)") == 300
    assert page.locator("#told .sentence").inner_text().endswith(".")
    assert page.locator("meter").count() == 5
    taken, name = download(page)
    assert (name, taken.read_bytes()) == ("holiday.jpg", result(restorers, path))


def test_the_handle_and_the_zoom_obey_the_keyboard(page, tmp_path):
    drop(page, noise(tmp_path / "a.png"))
    page.get_by_role("button", name="Restore", exact=True).click()
    handle = page.get_by_label("Where the restored photo begins")
    handle.focus()
    after = page.locator("#compare .after")
    handle.press("Home")
    assert after.evaluate("image => image.style.clipPath") in ("inset(0px)", "inset(0px 0px 0px 0px)")
    handle.press("End")
    width = page.locator("#compare .view").evaluate("view => view.clientWidth")
    assert f"{width}px" in after.evaluate("image => image.style.clipPath")
    before = after.bounding_box()["width"]
    zoom = page.get_by_label("Zoom", exact=True)
    zoom.focus()
    zoom.press("End")
    assert after.bounding_box()["width"] == pytest.approx(8 * before, rel=0.05)


def test_the_focus_is_seen(page):
    expect(page.get_by_role("button", name="Restore", exact=True)).to_be_visible()
    for _ in range(4):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert style == ["solid", "3px"], page.evaluate("document.activeElement.outerHTML")


def test_several_photos_come_in_one_archive_and_a_broken_one_is_named(page, restorers, tmp_path):
    paths = [noise(tmp_path / f"{name}.png", seed) for seed, name in enumerate(("one", "two"))]
    (tmp_path / "text.png").write_text("hello")
    drop(page, *paths, tmp_path / "text.png")
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_role("alert").get_by_text("text.png is not a picture")).to_be_visible()
    with zipfile.ZipFile(download(page)[0]) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {path.name: result(restorers, path) for path in paths}


def test_a_part_can_be_tried_and_each_ingredient_steered(page, restorers, tmp_path):
    path = noise(tmp_path / "a.png", size=(600, 900))
    drop(page, path)
    slider = page.get_by_role("slider", name=re.compile("Remove haze"))
    slider.focus()
    slider.press("Home")
    page.get_by_text("Try a part first").click()
    page.get_by_alt_text("The first photo: click").click(position={"x": 5, "y": 5})
    expect(page.get_by_alt_text("A part, restored")).to_be_visible()
    page.get_by_role("button", name="Try this part").click()
    part = page.get_by_alt_text("A part, restored")
    expect(part).to_be_visible()
    assert part.evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_alt_text("a.png, restored")).to_be_visible()
    assert download(page)[0].read_bytes() == result(restorers, path, strength={"haze": 0.0})


def test_work_can_be_cancelled(page, served, tmp_path):
    workshop = served[1].workshop
    drop(page, noise(tmp_path / "a.png"))
    page.get_by_label("Model").click()
    page.get_by_role("option", name="slow").click()
    page.get_by_role("button", name="Restore", exact=True).click()
    for load in (1, 0):
        end = time.monotonic() + 20
        while workshop.load != load:
            page.wait_for_timeout(50)
            assert time.monotonic() < end
        page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert").get_by_text("the work was cancelled")).to_be_visible()


def test_it_fits_a_phone_and_is_dark_where_wished(browser, served):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(served[0])
    expect(page.get_by_role("button", name="Restore", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", colour)[:3])) < 80
    context.close()


def test_rest_is_beside_the_page(served):
    with client(served[0]) as http:
        assert http.get("/health").json()["status"] == "ok"
        assert "restore" in http.get("/openapi.json").text
        # The service's own files are none of the page's.
        assert http.get(f"/gradio_api/file={Path(__file__).resolve()}").status_code == 403


def test_no_address_is_fetched_that_a_client_names_as_its_photo(served, outside, tmp_path):
    from gradio import processing_utils

    with pytest.raises(ValueError, match="expected the photo itself"):
        processing_utils.save_url_to_cache("https://example.org/photo.jpg", str(tmp_path))
    assert outside == []
