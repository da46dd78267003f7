"""What the documentation points at is there, and its picture of the code is that of the import contracts."""

import re
import tomllib
from pathlib import Path

import pytest

from idrestore.model import checkpoint
from idrestore.model.cost import costs

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


def named_files(text):
    """Return the paths, as folder/file.py and folder/file.toml, that a text names; placeholders are in capitals."""
    return re.findall(r"(?<![\w./~-])((?:[a-z_]+/)+[a-z_]+\.(?:py|toml))\b", text)


def test_files_that_pages_name_exist():
    """Paths may begin within the package; what CHANGELOG.md names may be gone."""
    there = [
        f"/{path.relative_to(ROOT)}"
        for part in ("src", "tests", "benchmarks", "recipes")
        for path in (ROOT / part).rglob("*.*")
    ]
    named = [
        (page.name, path) for page in PAGES if page.name != "CHANGELOG.md" for path in named_files(page.read_text())
    ]
    assert len(named) > 50
    assert not [each for each in named if not any(path.endswith(f"/{each[1]}") for path in there)]


def test_the_picture_of_the_layers_is_that_of_the_contracts():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers" and c["containers"] == ["idrestore"])
    picture = (ROOT / "CONTRIBUTING.md").read_text().split("## Architecture")[1].split("```")[1]
    assert [re.split(r"\s{2,}", line)[0] for line in picture.strip().splitlines()] == layers


def test_the_results_that_the_page_prints_are_those_of_the_models_card():
    """The card's used to be those of earlier weights."""
    page = (ROOT / "docs" / "guide" / "models.md").read_text().split("### Results")[1]
    names = re.findall(r"--data (\w+)=", page)
    rows = [line.split("|") for line in page.splitlines() if re.match(r"\| (?!photos)\w", line)]
    card = checkpoint.load("fast").card["results"]["sets"]
    assert len(rows) == len(names) == len(card)
    for name, row in zip(names, rows, strict=True):
        psnr, ssim = (card[name][f"{measure}_restored"] for measure in ("psnr", "ssim"))
        assert row[3].split("(")[0].strip() == f"{psnr:.2f}", name
        assert float(row[5]) == round(ssim, 3), name


def test_the_sizes_that_pages_print_are_those_of_the_shipped_model():
    """They used to be those of a network before."""
    model = checkpoint.load("fast")
    card, method = ((ROOT / "docs" / page).read_text() for page in ("guide/models.md", "method/method.md"))
    rows = {row.name: row for row in costs(model.network)}
    refiner = rows["additive_refiner.noise"]
    size, of_refiner = (f"{row.parameters / 1e6:.2f} M" for row in (rows["all"], refiner))
    others = f"{rows['all'].kmac - refiner.kmac - rows['additive_refiner.rain'].kmac:.0f} kMAC a pixel"
    assert f"{size} parameters, of which the refiners for noise and for rain have {of_refiner} each" in card
    assert f"{others}, {refiner.kmac:.0f} for noisy and rainy photos" in card
    assert f"{model.path.stat().st_size / 1e6:.1f} MB" in card
    assert f"{model.card['step']:,} steps" in card
    assert f"{size}, of which the additive refiners are {of_refiner} each" in method
    assert f"{others}, or {refiner.kmac:.0f} for noisy or rainy photos" in method
