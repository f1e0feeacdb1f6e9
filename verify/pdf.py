"""Reading the signatures of a PDF: where they are, what they cover, and whether their hole is really theirs.

QPDF (through pikepdf) is the parser; it copes with damage and never follows a reference more than once. Everything that
decides what was signed is checked against the raw bytes as well, because that is where two readers of one file disagree
(universal signature forgery, signature wrapping: Mladenov et al., "1 Trillion Dollar Refund", 2019).
"""

from __future__ import annotations

import dataclasses
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pikepdf

from policies.verification import VerificationPolicy
from verify.reasons import Reason, reason

_EOF = re.compile(rb"startxref\s+\d+\s+%%EOF\s*$")
_TORN = re.compile("parse error|too many errors|unexpected EOF|unknown token")
_AMBIGUOUS = re.compile("duplicated key|recover stream length")
_MAX_DEPTH = 64
_MAX_EARLIER = 16  # revisions opened in search of signatures that are gone
_KNOWN_SUBFILTERS = {
    "/adbe.pkcs7.detached",
    "/ETSI.CAdES.detached",
    "/ETSI.RFC3161",
    "/adbe.pkcs7.sha1",
    "/adbe.x509.rsa_sha1",
}


class PasswordNeeded(Exception):
    """The document is encrypted with a user password."""


class TooManySignatures(Exception):
    """More than the policy allows; leaving some out would judge a part for the whole."""


class Damaged(Exception):
    """QPDF makes nothing of these bytes."""


@dataclass
class FormField:
    """A terminal field: full name, inherited type, its dictionary, its widgets (one of them may be the dictionary itself)."""

    name: str
    kind: str
    node: Any
    widgets: list[Any]


@dataclass
class PdfSignature:
    """One signature dictionary and what its ByteRange covers. ``contents`` is the DER in the hole, without padding."""

    field: str
    subfilter: str
    is_timestamp: bool
    byte_range: tuple[int, int, int, int] | None
    contents: bytes
    node: Any
    field_node: Any
    findings: list[Reason] = dataclasses.field(default_factory=list)

    @property
    def covered_end(self) -> int:
        """Number of bytes from the start of the file to the end of the signed range; 0 if there is none."""
        return self.byte_range[2] + self.byte_range[3] if self.byte_range else 0

    @property
    def format(self) -> str:
        """What clerks and programs know it by."""
        return {
            "/ETSI.CAdES.detached": "PAdES",
            "/adbe.pkcs7.detached": "PKCS7",
            "/ETSI.RFC3161": "DOC-TIMESTAMP",
        }.get(self.subfilter, self.subfilter.lstrip("/") or "unknown")

    def signed_parts(self, data: bytes) -> tuple[memoryview, memoryview]:
        """The two covered stretches of the file."""
        assert self.byte_range is not None
        start, length, start2, length2 = self.byte_range
        view = memoryview(data)
        return view[start : start + length], view[start2 : start2 + length2]


@dataclass
class PdfDocument:
    """An opened document: the QPDF object, its signatures by coverage, and what is odd about the file as a whole."""

    data: bytes
    pdf: pikepdf.Pdf
    signatures: list[PdfSignature]
    empty_fields: list[str]
    findings: list[Reason]
    empty_spans: set[tuple[int, ...]] = dataclasses.field(default_factory=set)


def open_pdf(data: bytes) -> pikepdf.Pdf:
    """:raises PasswordNeeded: :raises Damaged:"""
    try:
        return pikepdf.open(io.BytesIO(data), suppress_warnings=True, inherit_page_attributes=False)
    except pikepdf.PasswordError as exc:
        raise PasswordNeeded from exc
    except Exception as exc:  # pikepdf raises RuntimeError, ValueError and others on hostile input
        raise Damaged(str(exc)[:200]) from exc


def read(data: bytes, policy: VerificationPolicy) -> PdfDocument:
    """Open ``data`` and find its signatures.

    :raises PasswordNeeded: :raises Damaged: :raises TooManySignatures:
    """
    pdf = open_pdf(data)
    findings: list[Reason] = []
    if any("file is damaged" in str(w) or "reconstruct" in str(w) for w in pdf.get_warnings()):
        findings.append(reason("xref-repaired", policy.level("xref-repaired")))
    if not data.startswith(b"%PDF-"):
        findings.append(reason("junk-before-header", policy.level("junk-before-header")))
    signatures: list[PdfSignature] = []
    empty: list[str] = []
    empty_spans: set[tuple[int, ...]] = set()
    seen: set[tuple[int, int]] = set()
    for form_field in fields(pdf):
        value = _get(form_field.node, "/V") if form_field.kind == "/Sig" else None
        if not isinstance(value, pikepdf.Dictionary):
            continue
        if value.is_indirect:
            if value.objgen in seen:
                continue
            seen.add(value.objgen)
        if not bytes_of(value, "/Contents").strip(b"\x00"):
            empty.append(form_field.name)
            span = tuple(integers(_get(value, "/ByteRange")))
            if len(span) != 4 or not data[max(0, span[1]) : max(0, span[2])].strip(b"<>0"):
                empty_spans.add(span)  # else a value is there under a spoilt name: not empty but damaged
            continue
        if len(signatures) >= policy.limits.signatures:
            raise TooManySignatures
        signatures.append(_signature(data, form_field, value, policy))
    if signatures and any(_TORN.search(str(w)) for w in pdf.get_warnings()):
        findings.append(reason("objects-damaged", policy.level("xref-repaired")))
    _mark_shared_holes(signatures, policy)
    signatures.sort(key=lambda s: s.covered_end)
    return PdfDocument(data, pdf, signatures, empty, findings, empty_spans)


def fields(pdf: pikepdf.Pdf) -> Iterator[FormField]:
    """Terminal form fields, depth first; circular and over-deep trees end quietly."""
    form = _get(pdf.Root, "/AcroForm")
    seen: set[tuple[int, int]] = set()

    def walk(node: Any, prefix: str, kind: str, depth: int) -> Iterator[FormField]:
        if not isinstance(node, pikepdf.Dictionary) or depth > _MAX_DEPTH:
            return
        if node.is_indirect:
            if node.objgen in seen:
                return
            seen.add(node.objgen)
        title = _get(node, "/T")
        name = ".".join(part for part in (prefix, str(title) if title is not None else "") if part)
        own = _get(node, "/FT")
        kind = str(own) if own is not None else kind
        kids = [k for k in array(node, "/Kids") if isinstance(k, pikepdf.Dictionary)]
        children = [k for k in kids if "/T" in k]
        if children:
            for child in children:
                yield from walk(child, name, kind, depth + 1)
            return
        yield FormField(name, kind, node, kids or [node])

    if isinstance(form, pikepdf.Dictionary):
        for top in array(form, "/Fields"):
            yield from walk(top, "", "", 0)


def field_groups(pdf: pikepdf.Pdf) -> dict[str, Any]:
    """Fields that hold other named fields, by full name."""
    found: dict[str, Any] = {}
    seen: set[tuple[int, int]] = set()
    stack = [(node, "", 0) for node in array(_get(pdf.Root, "/AcroForm"), "/Fields")]
    while stack:
        node, prefix, depth = stack.pop()
        if not isinstance(node, pikepdf.Dictionary) or depth > _MAX_DEPTH or (node.is_indirect and node.objgen in seen):
            continue
        if node.is_indirect:
            seen.add(node.objgen)
        title = _get(node, "/T")
        name = ".".join(part for part in (prefix, str(title) if title is not None else "") if part)
        children = [k for k in array(node, "/Kids") if isinstance(k, pikepdf.Dictionary) and "/T" in k]
        if children:
            found[name] = node
            stack += [(child, name, depth + 1) for child in children]
    return found


def pages(pdf: pikepdf.Pdf) -> list[Any]:
    """Page dictionaries in order, without QPDF's own page handling (which repairs, and so changes, what it reads)."""
    return page_tree(pdf)[1]


def page_tree(pdf: pikepdf.Pdf, limit: int = 100_000) -> tuple[list[Any], list[Any]]:
    """(inner nodes, pages) of the page tree, both in the order of a walk from the root."""
    nodes: list[Any] = []
    leaves: list[Any] = []
    seen: set[tuple[int, int]] = set()
    stack: list[Any] = [_get(pdf.Root, "/Pages")]
    while stack and len(leaves) < limit and len(nodes) < limit:
        node = stack.pop()
        if not isinstance(node, pikepdf.Dictionary):
            continue
        if "/Kids" not in node:
            leaves.append(node)
            continue
        if node.is_indirect:
            if node.objgen in seen:
                continue
            seen.add(node.objgen)
        nodes.append(node)
        stack.extend(reversed(array(node, "/Kids")))
    return nodes, leaves


def lost_signatures(document: PdfDocument, policy: VerificationPolicy) -> tuple[list[str], int]:
    """What the bytes hold of signatures that the current document no longer shows.

    :returns: names of signatures that an earlier revision has and this one has not, and the number of remains that no
        revision of the file owns (a damaged field, a signature whose field was overwritten)
    """
    data = document.data
    if data.count(b"/ByteRange") <= len(document.signatures):
        return [], 0
    present: set[tuple[int, ...]] = {s.byte_range for s in document.signatures if s.byte_range}
    names: set[str] = set()
    remains: set[tuple[int, ...]] = set()
    pattern = re.compile(rb"/ByteRange\s*\[\s*(\d{1,12})\s+(\d{1,12})\s+(\d{1,12})\s+(\d{1,12})\s*\]")
    opened = 0
    for match in list(pattern.finditer(data))[: policy.limits.signatures]:
        span = tuple(int(g) for g in match.groups())
        end = span[2] + span[3]
        if span in present or not 0 < end <= len(data) or not data[span[1] : span[2]].strip(b"<>0"):
            continue
        try:
            opened += 1
            earlier = open_pdf(data[:end]) if opened <= _MAX_EARLIER else None
            owners = (
                [f.name for f in fields(earlier) if integers(get(f.node, "/V", "/ByteRange")) == list(span)] if earlier else []
            )
        except (PasswordNeeded, Damaged):
            owners = []
        lost = set(owners) - set(document.empty_fields)
        names |= lost
        if not lost:
            remains.add(span)
    whole = len(present | remains | document.empty_spans) + len(names)
    torn = len(re.findall(rb"/ByteRange\s*\[", data[: 1 << 28])) - whole  # numbers damaged beyond recognition
    return sorted(names), len(remains) + max(0, torn)


def reads_two_ways(document: PdfDocument) -> bool:
    """Whether an object looked at so far says one thing twice, or lies about its length: readers differ in what they take."""
    return any(_AMBIGUOUS.search(str(warning)) for warning in document.pdf.get_warnings())


def page_and_rect(document: PdfDocument, form_field: Any) -> tuple[int, list[float]] | None:
    """Page number (from 1) and rectangle of a field's first widget; None if it shows nowhere."""
    for number, page in enumerate(pages(document.pdf), 1):
        for annotation in array(page, "/Annots"):
            if isinstance(annotation, pikepdf.Dictionary) and annotation.is_indirect and annotation.objgen == form_field.objgen:
                return number, numbers(_get(annotation, "/Rect"))
    return None


def _signature(data: bytes, form_field: FormField, value: Any, policy: VerificationPolicy) -> PdfSignature:
    """Read one signature dictionary and compare what it says with the bytes of the file."""
    subfilter = str(_get(value, "/SubFilter") or "")
    result = PdfSignature(
        field=form_field.name,
        subfilter=subfilter,
        is_timestamp=subfilter == "/ETSI.RFC3161" or str(_get(value, "/Type") or "") == "/DocTimeStamp",
        byte_range=None,
        contents=b"",
        node=value,
        field_node=form_field.node,
    )
    if subfilter not in _KNOWN_SUBFILTERS:
        result.findings.append(reason("sub-filter", policy.level("sub-filter"), subfilter=subfilter or "—"))
    contents = bytes_of(value, "/Contents")
    if len(contents) > policy.limits.contents_bytes:
        result.findings.append(reason("byte-range", field=form_field.name, detail="/Contents too large"))
        return result
    result.contents = contents
    problem = _byte_range_problem(data, integers(_get(value, "/ByteRange")))
    if problem:
        result.findings.append(reason("byte-range", policy.level("byte-range"), field=form_field.name, detail=problem))
        return result
    start, length, start2, length2 = integers(_get(value, "/ByteRange"))
    result.byte_range = (start, length, start2, length2)
    hole = data[length:start2]
    try:
        in_hole = bytes.fromhex(hole[1:-1].decode("ascii"))
    except ValueError:
        result.findings.append(
            reason("byte-range", policy.level("byte-range"), field=form_field.name, detail="the hole is not one hex string")
        )
        return result
    owner = value if value.is_indirect else form_field.node
    # QPDF may have decrypted /Contents of an encrypted file; the raw bytes are what was signed around.
    if (in_hole != contents and not document_is_encrypted(data)) or not _hole_belongs_to(data, length, owner):
        result.findings.append(reason("contents-mismatch", policy.level("contents-mismatch")))
    result.contents, padding = split_der(in_hole)
    if padding.strip(b"\x00"):
        result.findings.append(reason("contents-padding", policy.level("contents-padding")))
    if not _EOF.search(data[max(0, result.covered_end - 64) : result.covered_end]):
        result.findings.append(reason("revision-incomplete", policy.level("revision-incomplete")))
    return result


def document_is_encrypted(data: bytes) -> bool:
    """Whether any trailer may name an encryption dictionary (a cheap test over the raw bytes)."""
    return b"/Encrypt" in data


def _byte_range_problem(data: bytes, span: list[int]) -> str:
    """What is wrong with a ByteRange (ISO 32000-2 §12.8.1: exactly the file without the value of /Contents), or nothing."""
    if len(span) != 4:
        return "it does not have four numbers"
    start, length, start2, length2 = span
    if min(span) < 0:
        return "a number is negative"
    if start != 0:
        return "it does not begin at the start of the file"
    if start2 <= length:
        return "its parts overlap"
    if start2 + length2 > len(data):
        return "it reaches beyond the end of the file"
    if length2 == 0:
        return "nothing is signed after the signature value"
    if data[length : length + 1] != b"<" or data[start2 - 1 : start2] != b">":
        return "its hole is not a hexadecimal string"
    return ""


def _hole_belongs_to(data: bytes, hole: int, owner: Any) -> bool:
    """Whether the object that holds the hole is the signature's own: its header is the last one before the hole."""
    if not owner.is_indirect:
        return True
    number, generation = owner.objgen
    header = re.compile(rb"(?<!\d)%d\s+%d\s+obj\b" % (number, generation))
    window = max(0, hole - 65536)
    last = None
    for last in header.finditer(data, window, hole):  # noqa: B007 - the last match is what is wanted
        pass
    return last is not None and not re.search(rb"\bendobj\b", data[last.end() : hole])


def _mark_shared_holes(signatures: list[PdfSignature], policy: VerificationPolicy) -> None:
    """Two signature dictionaries cannot both own one hole: ByteRange collision (both are doubtful)."""
    by_range: dict[tuple[int, int, int, int], list[PdfSignature]] = {}
    for signature in signatures:
        if signature.byte_range:
            by_range.setdefault(signature.byte_range, []).append(signature)
    for group in by_range.values():
        for signature in group if len(group) > 1 else []:
            if any(f.code == "contents-mismatch" for f in signature.findings):
                continue
            others = [s for s in group if s is not signature]
            if not all(any(f.code == "contents-mismatch" for f in s.findings) for s in others):
                signature.findings.append(
                    reason(
                        "byte-range",
                        policy.level("byte-range"),
                        field=signature.field,
                        detail="another signature claims it too",
                    )
                )


def split_der(blob: bytes) -> tuple[bytes, bytes]:
    """One DER (or BER of definite length) value and what follows it; an unreadable length takes everything.

    Indefinite lengths (0x80) are left to the CMS reader: everything up to the trailing zeros counts as the value.
    """
    if len(blob) < 2:
        return blob, b""
    first = blob[1]
    if first < 0x80:
        end = 2 + first
    elif first == 0x80:
        stripped = blob.rstrip(b"\x00")
        end = min(len(blob), len(stripped) + 2 * 8)
        return blob[:end], b""
    else:
        count = first & 0x7F
        if count > 4 or len(blob) < 2 + count:
            return blob, b""
        end = 2 + count + int.from_bytes(blob[2 : 2 + count], "big")
    return (blob, b"") if end > len(blob) else (blob[:end], blob[end:])


# Reading QPDF objects without trusting their types


def _get(node: Any, key: str) -> Any:
    if isinstance(node, pikepdf.Dictionary | pikepdf.Stream):
        return node.get(key)
    return None


def get(node: Any, *keys: str) -> Any:
    """Value under a path of keys, None where anything on the way is missing or of another kind."""
    for key in keys:
        node = _get(node, key)
    return node


def array(node: Any, key: str) -> list[Any]:
    """Items of an array value, [] for anything else."""
    value = _get(node, key)
    return list(value) if isinstance(value, pikepdf.Array) else []


def integers(value: Any) -> list[int]:
    """An array of integers; [] if it is none or holds anything else."""
    if not isinstance(value, pikepdf.Array) or len(value) > 16:
        return []
    items: list[Any] = list(value)
    return [int(i) for i in items] if all(type(i) is int for i in items) else []


def numbers(value: Any) -> list[float]:
    """An array of numbers; [] if it is none or holds anything else."""
    if not isinstance(value, pikepdf.Array) or len(value) > 64:
        return []
    try:
        return [float(i) for i in value]
    except (TypeError, ValueError):
        return []


def stream_bytes(stream: Any, limit: int) -> bytes | None:
    """Content of a stream, inflated to at most ``limit`` bytes; None if it is none, is larger, or has filters but Flate."""
    if not isinstance(stream, pikepdf.Stream):
        return None
    try:
        raw = stream.read_raw_bytes()
    except (pikepdf.PdfError, RuntimeError):
        return None
    filters = _get(stream, "/Filter")
    names = [str(f) for f in filters] if isinstance(filters, pikepdf.Array) else [str(filters)] if filters is not None else []
    if len(raw) > limit or names not in ([], ["/FlateDecode"]) or _get(stream, "/DecodeParms") is not None:
        return None
    if not names:
        return raw
    try:
        engine = zlib.decompressobj()
        data = engine.decompress(raw, limit)
        return None if engine.unconsumed_tail or not engine.eof else data
    except zlib.error:
        return None


def bytes_of(node: Any, key: str) -> bytes:
    """Bytes of a string value, b"" for anything else."""
    value = _get(node, key)
    return bytes(value) if isinstance(value, pikepdf.String) else b""
