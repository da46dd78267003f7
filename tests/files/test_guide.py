"""The table of formats in the guide, against the one that the program uses."""

from pathlib import Path

from idrestore.files.formats import FORMATS

GUIDE = Path(__file__).parents[2] / "docs/guide/files.md"


def test_the_guide_has_every_format_as_it_is():
    lines = GUIDE.read_text().split("|---|---|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    found = [[cell.strip() for cell in line.split("|")[1:5]] for line in lines]
    expected = [[row.name, " ".join(row.suffixes), str(row.bits), row.written_as or "itself"] for row in FORMATS]
    assert found == expected
