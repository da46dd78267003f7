"""Reports: each kind read back by what it is made for."""

import base64
import csv
import dataclasses
import json
from html.parser import HTMLParser

import pytest
import pyvips
from small import tiny_file
from test_batch import write

import idrestore
from idrestore.batch import Job, Manifest, Outcome, Settings, check_report, restore_files, write_report

NASTY = '<b>&"x".png'


@pytest.fixture
def outcomes(tmp_path):
    first, second = write(tmp_path / "in" / NASTY, 40), write(tmp_path / "in/b.jpg")
    done = Job(first, write(tmp_path / "out" / NASTY, 40, 200))
    failed = Job(second, tmp_path / "out/b.jpg")
    found = {"rain": 0.8, "noise": 0.2}
    return [
        Outcome(done, "done", "", found, ("only the first, of several pages",), 1.5, "cpu, bf16, <fused> convolutions"),
        Outcome(failed, "failed", "b.jpg is damaged, <sadly>"),
    ]


class Page(HTMLParser):
    """Collects what a page holds."""

    def __init__(self):
        super().__init__()
        self.images, self.words, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.images += [attributes] if tag == "img" else []
        self.links += [value for name, value in attributes.items() if name in {"href", "src"}]

    def handle_data(self, data):
        self.words.append(data)


def test_a_page_needs_nothing_else_and_describes_its_pictures(tmp_path, outcomes):
    write_report(tmp_path / "r.html", outcomes)
    page = Page()
    page.feed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert all(link.startswith("data:image/webp;base64,") for link in page.links)
    before, after = page.images[1:]  # what failed comes first, and has nothing after
    assert "b.jpg" in page.images[0]["alt"]
    assert before["alt"].startswith("before: ")
    assert NASTY in before["alt"]
    assert after["alt"].startswith("after: ")
    pictures = [pyvips.Image.new_from_buffer(base64.b64decode(p["src"].split(",")[1]), "") for p in (before, after)]
    assert [round(picture.avg()) for picture in pictures] == [100, 200]
    words = " ".join(page.words)
    for expected in (
        "1 restored, 1 failed",
        "rain 80%, noise 20%",
        "<sadly>",
        "several pages",
        NASTY,
        "cpu, bf16, <fused>",
    ):
        assert expected in words


def test_a_table_has_a_row_a_photo(tmp_path, outcomes):
    write_report(tmp_path / "r.csv", outcomes)
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["photo"].endswith(NASTY)
    assert (first["ingredients"], first["notes"]) == ("rain 0.8000; noise 0.2000", "only the first, of several pages")
    assert (first["arithmetic"], second["arithmetic"]) == ("cpu, bf16, <fused> convolutions", "")
    assert (second["status"], second["error"]) == ("failed", "b.jpg is damaged, <sadly>")


def test_a_document_has_all_and_a_version(tmp_path, outcomes):
    write_report(tmp_path / "r.json", outcomes)
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (document["format_version"], document["counts"]) == (1, {"done": 1, "failed": 1})
    assert document["arithmetic"] == [document["photos"][0]["arithmetic"]] == ["cpu, bf16, <fused> convolutions"]
    assert document["photos"][0]["ingredients"] == {"rain": 0.8, "noise": 0.2}
    assert document["photos"][1]["error"] == "b.jpg is damaged, <sadly>"


@pytest.mark.parametrize("ending", ["csv", "json", "html"])
def test_names_that_are_no_text_are_spelled_out_in_notes_too(tmp_path, outcomes, ending):
    noted = dataclasses.replace(outcomes[0], notes=("the sidecar f\udcff.xmp was copied",))
    write_report(path := tmp_path / f"r.{ending}", [noted])
    text = path.read_text(encoding="utf-8")
    assert "f\\udcff.xmp" in text
    if ending == "json":
        assert json.loads(text)["photos"][0]["notes"] == list(noted.notes)


def test_a_report_of_a_run_says_in_which_precision_and_by_which_kernels(tmp_path):
    restorer = idrestore.load(tiny_file(tmp_path), "cpu", "fp32")
    jobs = [Job(write(tmp_path / "in/a.png"), tmp_path / "out/a.png")]
    for _ in range(2):
        with Manifest(tmp_path / "out") as manifest:
            outcomes = list(restore_files(restorer, jobs, Settings(), manifest))
        write_report(tmp_path / "r.json", outcomes)
        said = json.loads((tmp_path / "r.json").read_text())["arithmetic"]
        assert said == ([str(restorer.arithmetic)] if outcomes[0].status != "skipped" else [])
    assert outcomes[0].status == "skipped"


def test_a_table_of_a_version_without_the_last_column_is_known_as_a_report(tmp_path):
    (tmp_path / "r.csv").write_text("photo,result,status,seconds,ingredients,notes,error\n")
    check_report(tmp_path / "r.csv")


@pytest.mark.parametrize("ending", [".csv", ".json", ".html"])
def test_a_report_replaces_a_report_and_nothing_else(tmp_path, outcomes, ending):
    path = tmp_path / f"r{ending}"
    write_report(path, outcomes)
    check_report(path)
    path.write_text("precious")
    with pytest.raises(ValueError, match="is no report: pass --overwrite"):
        check_report(path)
    check_report(path, overwrite=True)
    assert path.read_text() == "precious"


def test_reports_nobody_can_write_are_refused_before_the_work(tmp_path):
    with pytest.raises(ValueError, match=r"expected a name that ends in \.csv, \.json, \.html"):
        check_report(tmp_path / "r.pdf")
    with pytest.raises(
        ValueError, match=r"none/r\.csv, which cannot be written \(No such file or directory\): expected"
    ) as error:
        check_report(tmp_path / "none/r.csv")
    assert ".part" not in str(error.value)
