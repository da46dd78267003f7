"""The page in a real browser: three clicks to the command's own result, and nothing asked of anybody else."""

import json
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
from idrestore.restoration.sentence import PHRASES

for name in ("fastapi", "jinja2", "prometheus_client", "playwright.sync_api"):
    pytest.importorskip(name, reason=f"{name} is not installed")
from playwright.sync_api import expect, sync_playwright  # noqa: E402
from serving import client, expected, serving  # noqa: E402
from small import tiny_file  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
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
def served(restorers, outside):
    with serving(restorers) as (url, server):
        yield url, server


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, served, outside):
    """Open the page; at the end, nothing may have been asked of others, and nothing complained."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(60_000)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    refused = "Failed to load resource: the server responded with a status of 415 (Unsupported Media Type)"
    page.goto(served[0])
    yield page
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((f"{served[0]}/", "data:", "blob:"))] == []
    assert [line for line in complaints if line != refused] == []
    assert outside == []


def noise(path, seed=0, size=(200, 300)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    image.write(pixels, path, image.Photo(pixels))
    return path


def result(restorers, path, **settings):
    return expected(restorers["tiny"], path.read_bytes(), path.name, batch.Settings(**settings)).data


def drop(page, *paths):
    """Choose photos, and wait until the last is restored."""
    page.set_input_files("#files", [str(path) for path in paths])
    expect(page.locator("#cards li")).to_have_count(len(paths))


def drop_and_wait(page, *paths):
    drop(page, *paths)
    expect(page.locator("#cards li.done")).to_have_count(len(paths))


def download(page, selector="#download"):
    """Press Download and return the file that comes."""
    with page.expect_download() as coming:
        page.locator(selector).click()
    return Path(coming.value.path()), coming.value.suggested_filename


def test_two_clicks_bring_the_commands_result(page, restorers, tmp_path):
    path = noise(tmp_path / "holiday.jpg")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=re.compile("Drop photos here")).click()
    chooser.value.set_files(str(path))
    after = page.get_by_alt_text("After: holiday.jpg")
    expect(after).to_be_visible()
    expect(page.get_by_alt_text("Before: holiday.jpg")).to_be_visible()
    assert after.evaluate("image => image.decode().then(() => image.naturalWidth)") == 300
    expect(page.get_by_role("status")).to_have_text(re.compile(": "))
    assert page.locator("meter").count() == 5
    taken, name = download(page)
    assert (name, taken.read_bytes()) == ("holiday-restored.jpg", result(restorers, path))


def test_a_photo_may_be_dropped_anywhere_or_pasted(page):
    give = """async ([type, name]) => {
        const canvas = new OffscreenCanvas(30, 20);
        canvas.getContext("2d").fillRect(0, 0, 9, 9);
        const files = new DataTransfer();
        files.items.add(new File([await canvas.convertToBlob()], name, { type: "image/png" }));
        const Kind = type === "paste" ? ClipboardEvent : DragEvent;
        document.querySelector("footer, header").dispatchEvent(
            new Kind(type, { bubbles: true, cancelable: true, dataTransfer: files, clipboardData: files }));
    }"""
    page.evaluate(give, ["drop", "dropped.png"])
    page.evaluate(give, ["paste", "pasted.png"])
    expect(page.locator("#cards li.done")).to_have_count(2)
    assert page.locator("#cards .name").all_inner_texts() == ["dropped.png", "pasted.png"]


def test_an_example_is_a_picture_to_click(page):
    page.get_by_role("button", name="Rain").click()
    expect(page.locator("#cards li.done")).to_have_count(1)
    expect(page.get_by_alt_text("After: rain_life.jpg")).to_be_visible()


def test_the_line_obeys_keyboard_and_mouse_and_the_photo_can_be_enlarged(page, tmp_path):
    drop_and_wait(page, noise(tmp_path / "a.png"))
    line = page.get_by_label("Line between before and after")
    compare = page.locator(".compare")
    cut = lambda: float(compare.evaluate("each => each.style.getPropertyValue('--cut')").removesuffix("px"))  # noqa: E731
    width = compare.bounding_box()["width"]
    line.focus()
    line.press("Home")
    assert cut() == 0
    line.press("End")
    assert cut() == pytest.approx(width, abs=1)
    box = compare.bounding_box()
    page.mouse.move(box["x"] + width / 4, box["y"] + 20)
    page.mouse.down()
    assert cut() == pytest.approx(width / 4, abs=4)
    page.mouse.move(box["x"] + width / 2, box["y"] + 20)
    page.mouse.up()
    assert cut() == pytest.approx(width / 2, abs=4)
    page.get_by_role("button", name="Enlarge").click()
    assert compare.bounding_box()["width"] >= 1.99 * width


def test_all_can_be_done_without_a_mouse(page, tmp_path):
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        style = page.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
        )
        if "data-example" in seen[-1]:
            break
        assert style == ["solid", "3px"], seen[-1]
    assert any("data-choose" in each for each in seen)
    page.keyboard.press("Enter")
    expect(page.locator("#cards li.done")).to_have_count(1)
    page.locator("summary", has_text="Options").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("fieldset").first.get_by_label("Off")).to_be_checked()
    for control in page.locator("button, a, input, select, summary").all():
        assert control.evaluate("each => each.hidden || each.innerText || each.ariaLabel || each.labels?.length"), (
            control.evaluate("each => each.outerHTML")
        )


def test_several_photos_stand_side_by_side_and_a_broken_one_says_why(page, restorers, tmp_path):
    paths = [noise(tmp_path / f"{name}.png", seed) for seed, name in enumerate(("one", "two"))]
    (tmp_path / "text.png").write_text("hello")
    drop(page, *paths, tmp_path / "text.png")
    expect(page.locator("#cards li.done")).to_have_count(2)
    failed = page.locator("#cards li.failed")
    expect(failed).to_have_count(1)
    failed.get_by_role("button", name=re.compile("text")).first.click()
    expect(page.get_by_role("alert")).to_contain_text("text.png is not a picture")
    page.get_by_role("button", name="Remove text.png").click()
    expect(page.locator("#cards li")).to_have_count(2)
    with zipfile.ZipFile(download(page, "#downloadAll")[0]) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {f"{path.stem}-restored.png": result(restorers, path) for path in paths}


def test_a_change_is_tried_at_once_and_then_done(page, restorers, tmp_path):
    path = noise(tmp_path / "a.png", size=(600, 900))
    drop_and_wait(page, path)
    haze = page.locator("fieldset", has_text="haze")
    haze.get_by_text("Off").click()
    part = page.get_by_alt_text("Preview")
    expect(part).to_be_visible()
    assert part.evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
    page.get_by_role("button", name="Restore like this", exact=True).click()
    expect(page.get_by_role("button", name="Restore like this", exact=True)).to_be_hidden()
    expect(page.locator("#download")).to_be_visible()
    assert download(page)[0].read_bytes() == result(restorers, path, strength={"haze": 0.0})


def test_on_shows_an_amount(page, tmp_path):
    drop_and_wait(page, noise(tmp_path / "a.png"))
    rain = page.locator("fieldset", has_text="rain")
    rain.get_by_text("On", exact=True).click()
    amount = rain.get_by_label("How much rain")
    amount.focus()
    amount.press("ArrowLeft")
    expect(rain.locator(".share")).to_have_text("95 %")
    page.get_by_role("button", name="Restore like this", exact=True).click()
    expect(page.get_by_role("status")).to_have_text(re.compile("rain, as you say.*: 95% removed"))


def test_work_can_be_cancelled_and_tried_again(page, served, tmp_path):
    drop_and_wait(page, noise(tmp_path / "a.png"))
    queue = served[1].queue
    page.get_by_label("Model").select_option("slow")
    page.locator("fieldset", has_text="haze").get_by_text("Off").click()
    page.get_by_role("button", name="Restore like this", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#cards li.cancelled")).to_have_count(1)
    end = time.monotonic() + 20
    while queue.load:
        page.wait_for_timeout(50)
        assert time.monotonic() < end
    page.get_by_label("Model").select_option("tiny")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#cards li.done")).to_have_count(1)


def test_a_page_that_is_closed_takes_its_photos_with_it(page, served, tmp_path):
    jobs = served[1].service.jobs
    drop_and_wait(page, noise(tmp_path / "a.png"))
    assert jobs.storage.used > 0
    page.goto("about:blank")
    end = time.monotonic() + 20
    while jobs.storage.used:
        page.wait_for_timeout(50)
        assert time.monotonic() < end


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_it_fits_the_screen_and_is_dark_where_wished(browser, served, tmp_path, size):
    context = browser.new_context(viewport=dict(zip(("width", "height"), size, strict=True)), color_scheme="dark")
    page = context.new_page()
    page.goto(served[0])
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", colour)[:3])) < 80
    drop_and_wait(page, noise(tmp_path / "a.png"))
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    box = page.locator("#download").bounding_box()
    assert box["y"] + box["height"] <= size[1]  # without scrolling
    context.close()


def test_every_text_is_there_in_every_language(served):
    from idrestore.server.page import STATIC

    texts = json.loads((STATIC / "texts.json").read_text("utf-8"))
    assert len({frozenset(entry) for entry in texts.values()}) == 1
    assert texts.keys() == PHRASES.keys()
    with client(served[0]) as http:
        assert 'lang="de"' in http.get("/", headers={"accept-language": "de-AT,en;q=0.5"}).text
        assert "Fotos hier ablegen" in http.get("/?lang=de").text
        assert "Drop photos here" in http.get("/", headers={"accept-language": "fr"}).text
        script = http.get("/static/page.js").text
    assert set(re.findall(r"text\.(\w+)", script)) <= texts["en"].keys()
