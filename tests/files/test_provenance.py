"""A restored file says how it was made, and loses nothing of what the photo said of itself."""

from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips

from idrestore.files import image, provenance
from idrestore.files.image import Photo
from idrestore.files.provenance import NAMESPACE, SOFTWARE, add_provenance

SHA = "ab" * 32
FOUND = {"rain": 0.81234, "noise": 0.18766}
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Camera 7"/>%s'
    b"</rdf:RDF></x:xmpmeta>"
)
HISTORY = (
    b'<rdf:Description rdf:about="" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"><xmpMM:History><rdf:Seq>'
    b"<rdf:li>created</rdf:li></rdf:Seq> </xmpMM:History></rdf:Description>"
)


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def photo(xmp=None, software=None):
    pixels = np.full((8, 9, 3), 90, np.uint8)
    metadata = {} if xmp is None else {"xmp-data": xmp}
    if software is not None:
        source = pyvips.Image.new_from_array(pixels, interpretation="srgb").copy()
        source.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", f"{software} (x)")
        metadata["exif-data"] = image.read(source.jpegsave_buffer()).metadata["exif-data"]
    return Photo(pixels, metadata=metadata)


def restored(tmp_path, suffix, source):
    result, notes = add_provenance(source, "fast", SHA, FOUND)
    lost = image.write(result.pixels, tmp_path / f"a{suffix}", result)
    return image.read(tmp_path / f"a{suffix}"), (*notes, *lost)


def facts(packet):
    """Return our fields, as an XML parser sees them."""
    (ours,) = [node for node in ElementTree.fromstring(packet).iter() if f"{{{NAMESPACE}}}software" in node.attrib]
    return {key.removeprefix(f"{{{NAMESPACE}}}"): value for key, value in ours.attrib.items() if NAMESPACE in key}


def events(packet):
    history = next(node for node in ElementTree.fromstring(packet).iter() if node.tag.endswith("History"))
    return [[(child.tag.split("}")[1], child.text) for child in entry] or entry.text for entry in history[0]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
@pytest.mark.parametrize("xmp", [None, PACKET % b""])
def test_every_format_says_it(tmp_path, suffix, xmp):
    said, notes = restored(tmp_path, suffix, photo(xmp))
    found = facts(said.metadata["xmp-data"])
    assert found == {
        "software": SOFTWARE,
        "model": "fast",
        "modelSHA256": SHA,
        "ingredients": "rain 0.812, noise 0.188",
        "date": "2023-11-14T22:13:20+00:00",
        "statement": provenance.STATEMENT,
    }
    ((*_, (name, parameters)),) = events(said.metadata["xmp-data"])
    assert name == "parameters"
    assert SHA in parameters
    assert (xmp is None) or b'xmp:CreatorTool="Camera 7"' in said.metadata["xmp-data"]
    if suffix != ".tif":
        assert image.software(said) == SOFTWARE
        assert notes == ()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_a_result_is_told_from_a_photo_in_every_format(tmp_path, suffix):
    own = photo(software="Camera 7")
    restored(tmp_path, suffix, own)
    assert provenance.is_restored(tmp_path / f"a{suffix}")
    image.write(own.pixels, tmp_path / f"b{suffix}", own)
    (tmp_path / f"c{suffix}").write_bytes(b"idrestore ")
    assert not any(provenance.is_restored(tmp_path / f"{name}{suffix}") for name in "bcd")


def test_what_wrote_the_photo_is_named_after_us(tmp_path):
    software = 'Adobe <Photoshop> "22.0" (Windows)'
    said, _ = restored(tmp_path, ".jpg", photo(software=software))
    assert image.software(said) == f"{SOFTWARE}; {software}"
    assert facts(said.metadata["xmp-data"])["previousSoftware"] == software


@pytest.mark.parametrize(
    "before", ["Camera 7", "idrestore 0.1.0; Camera 7", "idrestore 0.1.0; idrestore 0.1.0; Camera 7"]
)
def test_what_is_restored_again_names_us_once(tmp_path, before):
    said, _ = restored(tmp_path, ".jpg", photo(software=before))
    again, _ = restored(tmp_path, ".png", said)
    assert image.software(again) == f"{SOFTWARE}; Camera 7"
    assert facts(again.metadata["xmp-data"])["previousSoftware"] == "Camera 7"


def test_a_history_is_continued_and_the_rest_stays(tmp_path):
    packet = PACKET % HISTORY
    once, _ = add_provenance(photo(packet), "fast", SHA, FOUND)
    assert [entry == "created" for entry in events(once.metadata["xmp-data"])] == [True, False]
    twice, _ = add_provenance(once, "other", SHA, {"haze": 1.0})
    assert len(events(twice.metadata["xmp-data"])) == 3
    assert facts(twice.metadata["xmp-data"])["model"] == "other"  # and one only
    assert b'xmp:CreatorTool="Camera 7"/>' in twice.metadata["xmp-data"]


@pytest.mark.parametrize(
    "packet", [b"<x:xmpmeta/>", PACKET % b"" + b" " * 70_000, (PACKET % b"").decode().encode("utf-16")]
)
def test_xmp_that_cannot_be_extended_stays_as_it_is_and_exif_says_it(tmp_path, packet):
    said, notes = add_provenance(photo(packet), "fast", SHA, FOUND)
    assert notes == ("provenance is in EXIF only: the photo's XMP cannot be extended",)
    assert said.metadata["xmp-data"] == packet
    image.write(said.pixels, tmp_path / "a.png", said)
    assert image.software(image.read(tmp_path / "a.png")) == SOFTWARE


def test_only_the_date_differs(monkeypatch):
    first, second = (add_provenance(photo(PACKET % b""), "fast", SHA, FOUND)[0].metadata for _ in range(2))
    assert first == second
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000001")
    later = add_provenance(photo(PACKET % b""), "fast", SHA, FOUND)[0].metadata
    assert later["xmp-data"].replace(b"22:13:21", b"22:13:20") == first["xmp-data"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    add_provenance(photo(), "fast", SHA, FOUND)


def test_the_photo_given_stays_as_it_was():
    source = photo(PACKET % HISTORY)
    before = dict(source.metadata)
    add_provenance(source, "fast", SHA, FOUND)
    assert source.metadata == before
