"""What kind of file bytes are, told by their beginning, never by a name."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

from verify.reasons import Reason, reason

_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
)
_OTHER_PICTURES = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_OTHERS = (
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"{\\rtf", "RTF"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"Rar!", "RAR"),
    (b"7z\xbc\xaf", "7-Zip"),
)
_MAX_ENTRIES = 20_000


@dataclass(frozen=True)
class Kind:
    """``name``, and why the file is not looked at any further (None for a PDF; of a picture: said if it holds no code)."""

    name: str
    refusal: Reason | None = None


def recognise(data: bytes) -> Kind:
    """Tell a PDF (header within the first 1,024 bytes, ISO 32000-1 annex H.3.4.1) from everything else."""
    if not data:
        return Kind("empty", reason("empty"))
    if b"%PDF-" in data[:1024]:
        return Kind("pdf")
    for kind, magics in (("picture", _PICTURES), ("picture-unread", _OTHER_PICTURES)):
        for magic, name in magics:
            if data.startswith(magic):
                return Kind(kind, reason("picture", kind=name))
    if data[8:12] == b"WEBP" and data.startswith(b"RIFF"):
        return Kind("picture", reason("picture", kind="WebP"))
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc"):
        return Kind("heic", reason("picture-heic"))
    if data.startswith(b"PK"):
        return _zip(data)
    for magic, name in _OTHERS:
        if data.lstrip()[: len(magic)].lower() == magic.lower():
            return Kind("other", reason("not-a-document", kind=name))
    return Kind("other", reason("not-a-document", kind="unknown"))


def _zip(data: bytes) -> Kind:
    """An OFD is a ZIP with OFD.xml at its root; only the directory is read, nothing is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {info.filename for info in archive.infolist()[:_MAX_ENTRIES]}
    except Exception:  # noqa: BLE001 - zipfile raises many kinds on hostile input
        return Kind("archive", reason("damaged"))
    if "OFD.xml" in names:
        return Kind("ofd", reason("ofd-not-supported-yet"))
    if "[Content_Types].xml" in names:
        return Kind("office", reason("not-a-document", kind="an Office document"))
    return Kind("archive", reason("archive"))
