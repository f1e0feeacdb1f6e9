"""The child of :mod:`seals.pyhanko_path`: reads jobs on stdin, answers on stdout, has limits of its own, knows no keys.

A message is an 8-byte length, that many bytes of JSON, then the blobs whose lengths it names.
"""

# mypy: disallow-untyped-calls=False
# (parts of pyHanko are untyped)

from __future__ import annotations

import base64
import json
import logging
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from io import BytesIO
from typing import Any

import pikepdf
import pypdfium2
import pypdfium2.raw as pdfium
from asn1crypto import crl, ocsp, x509
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.crypt import AuthStatus, StandardSecurityHandler
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.signers.cms_embedder import PdfCMSEmbedder, SigIOSetup, SigObjSetup
from pyhanko.sign.signers.pdf_byterange import DocumentTimestamp, SignatureObject
from pyhanko.sign.validation import read_certification_data
from pyhanko.sign.validation.dss import DocumentSecurityStore

from crypto.errors import XinyinError
from formats.pdf.appearance import MATRICES
from formats.pdf.errors import (
    CertifiedAgainstChanges,
    ChangesNotPermitted,
    DamagedAndSigned,
    DamagedBeyondRepair,
    DynamicForm,
    NoSuchPage,
    NotAPdf,
    OffThePage,
    PasswordNeeded,
    UnsupportedEncryption,
)
from formats.pdf.geometry import Box, box_around, centred_box, check_on_page, displayed_size_mm
from formats.pdf.objects import Ref
from formats.pdf.reader import Page

SECONDS_PER_JOB = 30
ADDRESS_SPACE = 3 << 30
MAX_TREE_DEPTH = 64
MAX_PAGES_SEARCHED = 5_000

Answer = tuple[dict[str, Any], bytes]


def main() -> None:
    """Serve until stdin closes. A job that takes too long ends the process, in whatever library it hangs."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(8):
        request = json.loads(source.read(int.from_bytes(head, "big")))
        blobs = [source.read(length) for length in request.pop("lengths")]
        signal.setitimer(signal.ITIMER_REAL, SECONDS_PER_JOB)
        answer, data = _answer(request, blobs)
        signal.setitimer(signal.ITIMER_REAL, 0)
        body = json.dumps({**answer, "length": len(data)}).encode("utf-8")
        sink.write(len(body).to_bytes(8, "big") + body + data)
        sink.flush()


def _answer(request: dict[str, Any], blobs: list[bytes]) -> Answer:
    jobs: dict[str, Callable[..., Answer]] = {"prepare": _prepare, "store": _store, "find": _find}
    try:
        return jobs[request.pop("job")](request, *blobs)
    except (NoSuchPage, OffThePage) as exc:
        return {"error": type(exc).__name__, "arguments": exc.arguments}, b""
    except XinyinError as exc:
        reason = exc.detail.get("reason")
        return {"error": type(exc).__name__, "arguments": [reason] if reason else []}, b""
    except Exception as exc:  # noqa: BLE001 - every failure of these libraries on a file becomes one named error
        return {"error": "DamagedBeyondRepair", "arguments": [_reason(exc)]}, b""


def _reason(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {re.sub(r'(stream )?<[^>]*>:? ?', '', str(exc))}"[:300]


# -- prepare


def _prepare(request: dict[str, Any], document: bytes, picture: bytes) -> Answer:
    """A revision with an empty signature; else, where allowed, a repaired document to start over with."""
    try:
        return _prepared(request, document, picture)
    except XinyinError:
        raise
    except Exception as exc:
        if b"/ByteRange" in document:
            raise DamagedAndSigned(_reason(exc)) from exc
        if not request["may_repair"]:
            raise DamagedBeyondRepair(_reason(exc)) from exc
    return {"repaired": True}, _repaired(document)


def _repaired(document: bytes) -> bytes:
    """The document re-written by qpdf, encrypted as it was."""
    if document.find(b"%PDF-", 0, 1024) < 0:
        raise NotAPdf
    try:
        with pikepdf.open(BytesIO(document)) as pdf:
            if len(pdf.pages) == 0:
                raise DamagedBeyondRepair("no pages are left of it")
            if any(_is_signature(item) for item in pdf.objects):
                raise DamagedAndSigned
            out = BytesIO()
            pdf.save(out, encryption=True) if pdf.is_encrypted else pdf.save(out)
            return out.getvalue()
    except pikepdf.PasswordError:
        raise PasswordNeeded from None


def _is_signature(item: Any) -> bool:
    return isinstance(item, pikepdf.Dictionary) and ("/ByteRange" in item or item.get("/Type") in ("/Sig", "/DocTimeStamp"))


def _prepared(request: dict[str, Any], document: bytes, picture: bytes) -> Answer:
    writer = _opened(document)
    if writer.root.get("/NeedsRendering"):
        raise DynamicForm
    _respect_earlier_signatures(writer.prev)
    page = _page(writer, request["place"]["page"])
    box = _box(request["place"], page)
    field = SigFieldSpec(request["field"], on_page=page.number - 1, box=None if box is None else _integers(box))
    steps = PdfCMSEmbedder(new_field_spec=field).write_cms(request["field"], writer=writer)
    widget = next(steps).get_object()
    if box is not None:
        _dress(writer, widget, box, picture, page.rotate)
    if request.get("tooltip"):
        widget["/TU"] = generic.pdf_string(request["tooltip"])
    steps.send(SigObjSetup(sig_placeholder=_placeholder(request)))
    digest, output = steps.send(SigIOSetup(md_algorithm="sha256"))
    data = output.getvalue()
    _self_check(document, data, page.number, request["field"])
    gap = (digest.reserved_region_start, digest.reserved_region_end)
    return {"gap": gap, "page": page.number, "rect": box or (0, 0, 0, 0)}, data


def _integers(box: Box) -> tuple[int, int, int, int]:
    """pyHanko's field wants whole numbers; the true rectangle is set on the widget afterwards."""
    return int(box[0]), int(box[1]), int(box[2]) + 1, int(box[3]) + 1


def _opened(document: bytes) -> IncrementalPdfFileWriter:
    writer = IncrementalPdfFileWriter(BytesIO(document), strict=False)
    if not writer.prev.encrypted:
        return writer
    handler = writer.prev.security_handler
    if not isinstance(handler, StandardSecurityHandler):
        raise UnsupportedEncryption
    status = writer.encrypt("").status
    if status is AuthStatus.FAILED:
        raise PasswordNeeded
    permissions = int(writer.prev.trailer["/Encrypt"]["/P"])
    # Bits 4 and 6 together allow new form fields (ISO 32000-2 table 22).
    if status is not AuthStatus.OWNER and permissions & 0b101000 != 0b101000:
        raise ChangesNotPermitted
    return writer


def _respect_earlier_signatures(reader: PdfFileReader) -> None:
    try:
        levels = [signature.docmdp_level for signature in reader.embedded_signatures]
        certified = read_certification_data(reader) is not None
    except Exception as exc:
        raise DamagedAndSigned(_reason(exc)) from exc
    if certified or MDPPerm.NO_CHANGES in levels:
        raise CertifiedAgainstChanges


def _page(writer: IncrementalPdfFileWriter, number: int) -> Page:
    count = int(writer.root["/Pages"]["/Count"])
    if not 1 <= number <= count:
        raise NoSuchPage(number, count)
    reference, _ = writer.find_page_for_modification(number - 1)
    node = reference.get_object()
    attributes: dict[str, Any] = {}
    level: Any = node
    for _ in range(MAX_TREE_DEPTH):
        for key in ("/MediaBox", "/CropBox", "/Rotate"):
            if key in level:
                attributes.setdefault(key, level[key])
        if "/Parent" not in level:
            break
        level = level["/Parent"]
    media = _numbers(attributes["/MediaBox"])
    crop = _numbers(attributes.get("/CropBox", attributes["/MediaBox"]))
    box = (max(media[0], crop[0]), max(media[1], crop[1]), min(media[2], crop[2]), min(media[3], crop[3]))
    if box[2] <= box[0] or box[3] <= box[1]:
        box = media
    rotate = int(attributes.get("/Rotate", 0))
    return Page(
        number,
        Ref(reference.idnum, reference.generation),
        box,
        rotate % 360 if rotate % 90 == 0 else 0,
        float(node.get("/UserUnit", 1)),
    )


def _numbers(box: Any) -> Box:
    x0, y0, x1, y1 = (float(n) for n in box)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _box(place: dict[str, Any], page: Page) -> Box | None:
    """The widget's rectangle; None for a field that shows nothing."""
    if "width_mm" not in place:
        return None
    width, height = place["width_mm"], place["height_mm"]
    if "at" in place:
        return box_around(page, place["at"][0], place["at"][1], width, height)
    across, down = displayed_size_mm(page)
    x, y = place.get("x_mm", across / 2), place.get("y_mm", down / 2)
    check_on_page(page, x, y)
    return centred_box(page, x, y, width, height)


def _dress(writer: IncrementalPdfFileWriter, widget: Any, box: Box, picture: bytes, rotate: int) -> None:
    form = writer.import_page_as_xobject(PdfFileReader(BytesIO(picture)))
    form.get_object()["/Matrix"] = generic.ArrayObject(generic.NumberObject(int(n)) for n in MATRICES[rotate].split())
    widget["/Rect"] = generic.ArrayObject(generic.FloatObject(f"{n:.4f}") for n in box)
    widget["/AP"] = generic.DictionaryObject({generic.pdf_name("/N"): form})
    writer.update_container(widget)


def _placeholder(request: dict[str, Any]) -> Any:
    reserved = 2 * request["reserved"]
    if request["timestamp"]:
        return DocumentTimestamp(bytes_reserved=reserved)
    texts = request["texts"]
    return SignatureObject(
        timestamp=datetime.fromisoformat(request["when"]),
        subfilter=SigSeedSubFilter.PADES,
        name=texts.get("/Name"),
        reason=texts.get("/Reason"),
        location=texts.get("/Location"),
        bytes_reserved=reserved,
    )


def _self_check(before: bytes, after: bytes, page: int, field: str) -> None:
    """What pyHanko wrote over a broken file may not be what other readers see: qpdf must find the field on its page."""
    with pikepdf.open(BytesIO(before)) as old, pikepdf.open(BytesIO(after)) as new:
        if len(old.pages) != len(new.pages):
            raise ValueError("pages were lost")
        names = [str(annotation.get("/T", "")) for annotation in new.pages[page - 1].obj.get("/Annots", [])]
        if field not in names:
            raise ValueError("the seal was lost")
        if len(new.get_warnings()) > len(old.get_warnings()):
            raise ValueError("the sealed file is worse than the file")


# -- the other jobs


def _store(request: dict[str, Any], document: bytes) -> Answer:
    """A revision with validation material."""

    def decoded(name: str) -> Iterator[bytes]:
        return (base64.b64decode(item) for item in request[name])

    writer = _opened(document)
    DocumentSecurityStore.supply_dss_in_writer(
        writer,
        None,
        certs=[x509.Certificate.load(der) for der in decoded("certs")],
        ocsps=[ocsp.OCSPResponse.load(der) for der in decoded("ocsps")],
        crls=[crl.CertificateList.load(der) for der in decoded("crls")],
    )
    out = BytesIO()
    writer.write(out)
    return {}, out.getvalue()


def _find(request: dict[str, Any], document: bytes) -> Answer:
    """Where a text stands: page and the middle of its first line, in user space (see KeywordPlacement)."""
    try:
        pdf = pypdfium2.PdfDocument(document)
    except pypdfium2.PdfiumError as exc:
        if pdfium.FPDF_GetLastError() == pdfium.FPDF_ERR_PASSWORD:
            raise PasswordNeeded from exc
        raise DamagedBeyondRepair(_reason(exc)) from exc
    wanted: int | None = request["occurrence"]
    pages = range(min(len(pdf), MAX_PAGES_SEARCHED))
    backwards = wanted is None or wanted < 0
    last, passed = None, 0
    for index in reversed(pages) if backwards else pages:
        here = list(_occurrences(pdf[index], request["text"]))
        for x, y, alone in reversed(here) if backwards else here:
            place = {"page": index + 1, "x": x, "y": y}
            last = last or place
            if alone if wanted is None else passed == (wanted if wanted >= 0 else -1 - wanted):
                return place, b""
            passed += 1
    return (last if wanted is None and last else {"page": 0}), b""


def _occurrences(page: Any, text: str) -> Iterator[tuple[float, float, bool]]:
    """The middle of each occurrence, and whether it stands alone on its line, as a signature line does."""
    content = page.get_textpage()
    searcher = content.search(text, match_case=True)
    while (hit := searcher.get_next()) is not None:
        index, count = hit
        boxes = [content.get_charbox(position) for position in range(index, index + count)]
        first = boxes[0]
        # A text that runs on to the next line is met in the middle of its first line.
        line = [box for box in boxes if abs(box[1] - first[1]) <= abs(first[3] - first[1])]
        x = (min(box[0] for box in line) + max(box[2] for box in line)) / 2
        y = (min(box[1] for box in line) + max(box[3] for box in line)) / 2
        before = content.get_text_range(max(0, index - 3), min(3, index)).rstrip(" \u3000")
        after = content.get_text_range(index + count, min(3, content.count_chars() - index - count)).lstrip(" \u3000")
        yield x, y, before[-1:] in ("", "\r", "\n") and after[:1] in ("", "\r", "\n")


if __name__ == "__main__":
    main()
