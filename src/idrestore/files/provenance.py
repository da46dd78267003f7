"""What a restored file says of itself: that it is an estimate, made with what, and of what was found.

XMP gets a description of our own namespace and an entry in the standard history (xmpMM:History), EXIF its Software
field. All the photo's own metadata stays: the software that wrote it is named after ours.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from idrestore import __version__
from idrestore.files import image
from idrestore.files.image import Photo

SOFTWARE = f"idrestore {__version__}"
NAMESPACE = "urn:idrestore:provenance:1:"
XMP_LIMIT = 65_502
"""Bytes of XMP that a JPEG holds (XMP specification, part 3, 1.1.3)."""
_OWN_NAMES = re.compile(r"(idrestore [^;]*(; |$))+")
"""What earlier restorations put before the name of the software that wrote the photo"""
STATEMENT = "Restored by a neural network: an estimate of the scene, not a record of it."

_XMPMM = 'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"'
_STEVT = 'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"'
_OURS = f'<rdf:Description rdf:about="" xmlns:idrestore="{NAMESPACE}"'
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def add_provenance(
    photo: Photo, model: str, sha256: str, ingredients: Mapping[str, float]
) -> tuple[Photo, tuple[str, ...]]:
    """Return a photo whose metadata say how it was restored, and in words what they could not take.

    The date is that of SOURCE_DATE_EPOCH (seconds) where the environment has it, else now; all else depends on the
    arguments alone.
    """
    date = _now().isoformat()
    found = ", ".join(f"{name} {share:.3f}" for name, share in ingredients.items())
    before = _OWN_NAMES.sub("", _printable(image.software(photo)), count=1)
    model = _printable(model)
    event = {
        "stEvt:action": "edited",
        "stEvt:when": date,
        "stEvt:softwareAgent": SOFTWARE,
        "stEvt:parameters": f"restored: model {model}, SHA-256 {sha256}, ingredients {found}",
    }
    facts = {
        "software": SOFTWARE,
        "model": model,
        "modelSHA256": sha256,
        "ingredients": found,
        "date": date,
        "statement": STATEMENT,
    } | ({"previousSoftware": before} if before else {})
    packet = _extended(photo.metadata.get("xmp-data") or _PACKET.encode(), facts, event)
    metadata = {**photo.metadata, image.SOFTWARE_FIELD: "; ".join(filter(None, (SOFTWARE, before)))}
    if packet is None:
        return replace(photo, metadata=metadata), ("provenance is in EXIF only: the photo's XMP cannot be extended",)
    return replace(photo, metadata={**metadata, "xmp-data": packet}), ()


def is_restored(path: Path) -> bool:
    """Tell whether a file says that it is a result; what cannot be read says nothing."""
    try:
        return bool(_OWN_NAMES.match(image.writer(path)))
    except image.ImageError:
        return False


def _printable(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(filter(str.isprintable, text))


def _now() -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isdigit() and len(epoch) < 12:
        return datetime.fromtimestamp(int(epoch), UTC)
    return datetime.now(UTC).replace(microsecond=0)


def _extended(packet: bytes, facts: Mapping[str, str], event: Mapping[str, str]) -> bytes | None:
    """Add facts and an event to an XMP packet without touching what it holds; None if it has no room or no end."""
    if len(packet) > XMP_LIMIT:
        return None
    try:
        text = packet.decode()
    except UnicodeDecodeError:  # UTF-16 is allowed, and rare
        return None
    # An earlier restoration's facts give way; its entry in the history stays.
    text = re.sub(re.escape(_OURS) + "[^>]*/>", "", text)
    entry = f'<rdf:li rdf:parseType="Resource" {_STEVT}>{_elements(event)}</rdf:li>'
    text, listed = re.subn(r"</rdf:Seq>\s*</xmpMM:History>", lambda end: entry + end[0], text, count=1)
    ours = _OURS + "".join(f" idrestore:{name}={quoteattr(value)}" for name, value in facts.items()) + "/>"
    if not listed and "xmpMM:History" not in text:
        history = f"<xmpMM:History><rdf:Seq>{entry}</rdf:Seq></xmpMM:History>"
        ours += f'<rdf:Description rdf:about="" {_XMPMM}>{history}</rdf:Description>'
    text, added = re.subn("</rdf:RDF>", lambda end: ours + end[0], text, count=1)
    result = text.encode()
    return result if added and len(result) <= XMP_LIMIT else None


def _elements(fields: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
