"""Signature fields and their dictionaries (ISO 32000-2 §12.7.5.5, §12.8.1), and the store of validation material.

A revision is prepared with an empty /Contents, its digest is taken over everything else, and the value is put in last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crypto.errors import XinyinError
from crypto.suites import DigestAlgorithm
from formats.pdf.appearance import Appearance, rectangle, write_slice
from formats.pdf.errors import CertifiedAgainstChanges, DynamicForm, OutsideCommonCase
from formats.pdf.geometry import Box
from formats.pdf.objects import Buffer, Parser, Ref, Stream, TopDict, ref, serialise, text_string
from formats.pdf.reader import Page, PdfFile
from formats.pdf.writer import Appender, with_member
from formats.pdf.xref import decode

MAX_FIELDS = 20_000
MAX_STORED = 4_096
_PLACE = 10


class ReservedTooSmall(XinyinError):
    """The value does not fit the room kept for it; the document was not changed."""

    code = "pdf-reserved-too-small"

    def __init__(self, needed: int, reserved: int) -> None:
        super().__init__(
            f"The signature takes {needed} bytes but {reserved} were kept for it; seal the document again.",
            f"签名需要 {needed} 字节，但只预留了 {reserved} 字节；请重新加盖。",
            needed=needed,
            reserved=reserved,
        )


@dataclass(frozen=True, slots=True)
class Widget:
    """One place where a field shows: a page, a rectangle in user space, and what is drawn there (None: nothing).

    :param window: the part of the appearance that shows here (left, bottom, right, top in its points); None: all of it
    """

    page: Page
    box: Box
    appearance: Appearance | None
    window: Box | None = None


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A signature field to add.

    :param name: the field's partial name, unique in the document
    :param subfilter: ``/ETSI.CAdES.detached`` or ``/ETSI.RFC3161``; the latter makes a document timestamp
    :param reserved: bytes kept for the value
    :param widgets: usually one, merged with the field; several (a seal across the edges of pages) become its kids
    :param when: claimed time, written as /M; None for document timestamps
    :param texts: text entries of the signature dictionary by key: /Name, /Reason, /Location, /ContactInfo
    :param tooltip: what a screen reader says of the field
    """

    name: str
    subfilter: bytes
    reserved: int
    widgets: tuple[Widget, ...]
    when: datetime | None = None
    texts: tuple[tuple[bytes, str], ...] = ()
    tooltip: str = ""


class Prepared:
    """A document with a revision whose signature value is still to come.

    :param data: the earlier revisions, untouched
    :param tails: the revisions behind it; the last one holds the gap
    :param gap: start and end of the hexadecimal string, delimiters included, within the last tail
    """

    def __init__(self, data: Buffer, tails: Sequence[bytearray], gap: tuple[int, int]) -> None:
        self.data = data
        self.tails = tails
        self.gap = gap

    @property
    def capacity(self) -> int:
        """Bytes of DER that fit."""
        return (self.gap[1] - self.gap[0] - 2) // 2

    def digest(self, algorithm: DigestAlgorithm) -> bytes:
        """Digest of everything but the gap, in streaming."""
        hasher = hashlib.new(algorithm.value)
        hasher.update(self.data)
        for tail in self.tails[:-1]:
            hasher.update(tail)
        with memoryview(self.tails[-1]) as last:
            hasher.update(last[: self.gap[0]])
            hasher.update(last[self.gap[1] :])
        return hasher.digest()

    def fill(self, der: bytes) -> None:
        """Put the value in.

        :raises ReservedTooSmall: longer than :attr:`capacity`
        """
        if len(der) > self.capacity:
            raise ReservedTooSmall(len(der), self.capacity)
        start = self.gap[0] + 1
        self.tails[-1][start : start + 2 * len(der)] = der.hex().encode("ascii")


def add_signature_field(appender: Appender, spec: FieldSpec) -> Prepared:
    """Append one revision with a signed field; earlier revisions stay byte for byte.

    :raises OutsideCommonCase: the form or the page is built in an unusual way
    """
    pdf = appender.pdf
    value, field = appender.number(), appender.number()
    dictionary, contents, byte_range = _signature_dictionary(spec)
    at = appender.put(value, dictionary)
    common = b"/FT/Sig/V %d 0 R" % value
    title = b"/T" + text_string(spec.name) + (b"/TU" + text_string(spec.tooltip) if spec.tooltip else b"")
    if len(spec.widgets) == 1:
        _put_widget(appender, field, spec.widgets[0], common + title, _draw(appender, spec.widgets[0]))
    else:
        _put_kids(appender, field, spec.widgets, common, title)
    _extend_form(appender, ref(field))
    before = appender.length
    tail = appender.finish()
    start = at + contents
    gap = (start, start + 2 * spec.reserved + 2)
    _write_byte_range(tail, at + byte_range, before, gap)
    return Prepared(pdf.data, appender.tails, gap)


def _signature_dictionary(spec: FieldSpec) -> tuple[bytes, int, int]:
    """The dictionary's text with an empty value, and where /Contents' string and /ByteRange's numbers start in it."""
    kind = b"/DocTimeStamp" if spec.subfilter == b"/ETSI.RFC3161" else b"/Sig"
    text = b"<</Type%b/Filter/Adobe.PPKLite/SubFilter%b/ByteRange[" % (kind, spec.subfilter)
    byte_range = len(text)
    text += b" " * (4 * _PLACE + 3) + b"]/Contents"
    contents = len(text)
    text += b"<" + b"0" * (2 * spec.reserved) + b">"
    if spec.when is not None:
        text += b"/M(D:%b+00'00')" % spec.when.astimezone(UTC).strftime("%Y%m%d%H%M%S").encode("ascii")
    for key, entry in spec.texts:
        text += key + text_string(entry)
    return text + b">>", contents, byte_range


def _write_byte_range(tail: bytearray, at: int, before: int, gap: tuple[int, int]) -> None:
    numbers = b"0 %d %d %d" % (before + gap[0], before + gap[1], len(tail) - gap[1])
    if len(numbers) > 4 * _PLACE + 3:
        raise OutsideCommonCase("it is too long")
    tail[at : at + len(numbers)] = numbers


def _draw(appender: Appender, widget: Widget) -> int | None:
    return widget.appearance.write(appender, widget.page.rotate) if widget.appearance else None


def _put_widget(appender: Appender, number: int, widget: Widget, entries: bytes, picture: int | None) -> None:
    """A widget with the flags Print and Locked (ISO 32000-2 §12.5.3), and its place among the page's annotations."""
    text = b"<</Type/Annot/Subtype/Widget%b/F 132/Rect%b/P %d %d R" % (entries, rectangle(widget.box), *widget.page.ref)
    if picture is not None:
        text += b"/AP<</N %d 0 R>>" % picture
    appender.put(number, text + b">>")
    with_member(appender.pdf, appender, widget.page.ref, b"/Annots", ref(number))


def _put_kids(appender: Appender, field: int, widgets: Sequence[Widget], common: bytes, title: bytes) -> None:
    """A field with one widget a page. Each repeats /FT and /V, without which poppler does not see the signature."""
    drawn = widgets[0].appearance
    whole = drawn.write(appender) if drawn else None
    kids = []
    for widget in widgets:
        number = appender.number()
        shown = None
        if whole is not None and drawn is not None:
            window = widget.window or (0.0, 0.0, drawn.width, drawn.height)
            shown = write_slice(appender, whole, window, widget.page.rotate)
        _put_widget(appender, number, widget, b"%b/Parent %d 0 R" % (common, field), shown)
        kids.append(ref(number))
    appender.put(field, b"<<%b%b/Kids[%b]>>" % (common, title, b" ".join(kids)))


def _extend_form(appender: Appender, member: bytes) -> None:
    """Put a field into the interactive form, which is made where there is none (ISO 32000-2 §12.7.3)."""
    pdf = appender.pdf
    catalog, _ = pdf.top_dict(pdf.root)
    form = catalog.value.get(b"/AcroForm")
    if isinstance(form, Ref) and pdf.resolve(form) is not None:
        top, _ = pdf.top_dict(form)
        appender.change(form, _form_text(appender, top, member))
    elif isinstance(form, dict):
        start, end = catalog.spans[b"/AcroForm"]
        top, _ = Parser(catalog.raw[start:end]).top_dict(0)
        appender.change(pdf.root, catalog.edited({b"/AcroForm": _form_text(appender, top, member)}))
    elif form is None or isinstance(form, Ref):
        number = appender.number()
        appender.add(number, b"<</Fields[%b]/SigFlags 3>>" % member)
        appender.change(pdf.root, catalog.edited({b"/AcroForm": ref(number)}))
    else:
        raise OutsideCommonCase("its form is something else")


def _form_text(appender: Appender, form: TopDict, member: bytes) -> bytes:
    fields = form.value.get(b"/Fields")
    flags = appender.pdf.resolve(form.value.get(b"/SigFlags"))
    edits = {b"/SigFlags": b"%d" % ((flags if isinstance(flags, int) else 0) | 3)}
    if isinstance(fields, Ref):
        array = appender.pdf.get(fields.num)
        if not isinstance(array, list):
            raise OutsideCommonCase("its form has no list of fields")
        appender.change(fields, b"[%b %b]" % (serialise(array)[1:-1], member))
    elif isinstance(fields, list):
        start, end = form.spans[b"/Fields"]
        edits[b"/Fields"] = form.raw[start : end - 1].strip() + b" " + member + b"]"
    elif fields is None:
        edits[b"/Fields"] = b"[%b]" % member
    else:
        raise OutsideCommonCase("its form has no list of fields")
    return form.edited(edits)


# -- what earlier signatures allow


@dataclass(frozen=True, slots=True)
class Signed:
    """What is already in the document: names of top-level fields, and how many signatures."""

    names: frozenset[str]
    signatures: int


def existing_signatures(pdf: PdfFile) -> Signed:
    """Walk the form, refusing documents whose signatures allow no further seal.

    :raises DynamicForm: its pages are not in the file
    :raises CertifiedAgainstChanges: a DocMDP transform, or a field lock with P = 1 (ISO 32000-2 §12.8.2.2, §12.7.5.5)
    """
    catalog = pdf.catalog()
    if pdf.resolve(catalog.get(b"/NeedsRendering")) is True:
        raise DynamicForm
    permissions = pdf.resolve(catalog.get(b"/Perms"))
    if isinstance(permissions, dict) and b"/DocMDP" in permissions:
        _check_transforms(pdf, permissions[b"/DocMDP"])
    form = pdf.resolve(catalog.get(b"/AcroForm"))
    fields = pdf.resolve(form.get(b"/Fields")) if isinstance(form, dict) else None
    queue: list[Any] = list(fields) if isinstance(fields, list) else []
    names: set[str] = set()
    seen: set[int] = set()
    signatures = 0
    top = len(queue)
    for index, item in enumerate(queue):
        if index >= MAX_FIELDS:
            raise OutsideCommonCase("its form has very many fields")
        if isinstance(item, Ref) and item.num in seen:
            continue
        if isinstance(item, Ref):
            seen.add(item.num)
        field = pdf.resolve(item)
        if not isinstance(field, dict):
            continue
        title = pdf.resolve(field.get(b"/T"))
        if index < top and hasattr(title, "text"):
            names.add(title.text())
        kids = pdf.resolve(field.get(b"/Kids"))
        if isinstance(kids, list):
            queue.extend(kids)
        if field.get(b"/FT") == b"/Sig" and b"/V" in field:
            signatures += 1
            _check_transforms(pdf, field[b"/V"])
            lock = pdf.resolve(field.get(b"/Lock"))
            if isinstance(lock, dict) and pdf.resolve(lock.get(b"/P")) == 1:
                raise CertifiedAgainstChanges
    return Signed(frozenset(names), signatures)


def _check_transforms(pdf: PdfFile, signature: Any) -> None:
    signature = pdf.resolve(signature)
    references = pdf.resolve(signature.get(b"/Reference")) if isinstance(signature, dict) else None
    for item in references if isinstance(references, list) else []:
        reference = pdf.resolve(item)
        if not isinstance(reference, dict):
            continue
        method = pdf.resolve(reference.get(b"/TransformMethod"))
        parameters = pdf.resolve(reference.get(b"/TransformParams"))
        parameters = parameters if isinstance(parameters, dict) else {}
        if method == b"/DocMDP" or (method == b"/FieldMDP" and pdf.resolve(parameters.get(b"/P")) == 1):
            raise CertifiedAgainstChanges


# -- validation material


@dataclass(frozen=True, slots=True)
class ValidationMaterial:
    """DER certificates, OCSPResponses and CertificateLists for the document's security store (ISO 32000-2 §12.8.4.3)."""

    certificates: tuple[bytes, ...]
    ocsps: tuple[bytes, ...]
    crls: tuple[bytes, ...]


def add_validation_material(appender: Appender, material: ValidationMaterial, *, finish: bool = True) -> None:
    """Write or extend /DSS; what is stored already is not stored again. With ``finish=False`` the revision stays open.

    :raises OutsideCommonCase: the store that is there is built in an unusual way
    """
    pdf = appender.pdf
    catalog, _ = pdf.top_dict(pdf.root)
    current = catalog.value.get(b"/DSS")
    old = pdf.resolve(current)
    if old is not None and not isinstance(old, dict):
        raise OutsideCommonCase("its store of validation material is something else")
    entries = {b"/Type": b"/DSS"}
    for key, items in ((b"/Certs", material.certificates), (b"/OCSPs", material.ocsps), (b"/CRLs", material.crls)):
        refs = _stored(appender, (old or {}).get(key), items)
        if refs:
            entries[key] = b"[%b]" % b" ".join(refs)
    if isinstance(current, Ref) and old is not None:
        top, _ = pdf.top_dict(current)
        appender.change(current, top.edited(entries))
    elif isinstance(current, dict):
        start, end = catalog.spans[b"/DSS"]
        top, _ = Parser(catalog.raw[start:end]).top_dict(0)
        appender.change(pdf.root, catalog.edited({b"/DSS": top.edited(entries)}))
    else:
        number = appender.number()
        appender.add(number, b"<<%b>>" % b"".join(b"%b %b" % entry for entry in entries.items()))
        appender.change(pdf.root, catalog.edited({b"/DSS": ref(number)}))
    if finish:
        appender.finish()


def _stored(appender: Appender, existing: Any, items: Sequence[bytes]) -> list[bytes]:
    """References to the streams of one kind: those that are there, and new ones for what is missing."""
    pdf = appender.pdf
    members = pdf.resolve(existing)
    members = members if isinstance(members, list) else []
    if len(members) > MAX_STORED or not all(isinstance(member, Ref) for member in members):
        raise OutsideCommonCase("its store of validation material is built in an unusual way")
    refs = [ref(*member) for member in members]
    have: set[bytes] = set()
    for member in members:
        stream = pdf.get(member.num)
        if isinstance(stream, Stream):
            have.add(hashlib.sha256(decode(stream, pdf.budget)).digest())
    for item in items:
        mark = hashlib.sha256(item).digest()
        if mark not in have:
            have.add(mark)
            number = appender.number()
            appender.put_stream(number, b"", item)
            refs.append(ref(number))
    return refs
