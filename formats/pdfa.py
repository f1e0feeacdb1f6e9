"""PDF/A-3b by rules of our own (ISO 19005-3), run on licences before and after they are sealed.

This is not veraPDF and does not replace it: the rules cover what our own pipeline could break (fonts, colours, metadata,
attachments, annotations, actions, file structure), not every clause. Clause numbers are those of ISO 19005-3:2012 as public
validation profiles quote them; the standard's text is unread here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Object, Pdf, Stream

_MAX_OBJECTS = 200_000
_MAX_FORM_DEPTH = 20

_FORBIDDEN_ACTIONS = frozenset(
    (
        "/GoTo3DView",
        "/Hide",
        "/ImportData",
        "/JavaScript",
        "/Launch",
        "/Movie",
        "/Rendition",
        "/ResetForm",
        "/SetOCGState",
        "/Sound",
        "/Trans",
    )
)
_NAMED_ACTIONS = frozenset(("/NextPage", "/PrevPage", "/FirstPage", "/LastPage"))
_FORBIDDEN_ANNOTATIONS = frozenset(("/3D", "/Sound", "/Screen", "/Movie"))
# The annotation flags (ISO 32000-1 table 165).
_INVISIBLE, _HIDDEN, _PRINT, _NO_VIEW, _TOGGLE_NO_VIEW = 1, 2, 4, 32, 256


@dataclass(frozen=True)
class Finding:
    """One rule that the file breaks.

    :ivar rule: stable name of the rule
    :ivar clause: of ISO 19005-3
    :ivar where: page, object or key
    """

    rule: str
    clause: str
    message: str
    where: str = ""


def check(data: bytes) -> list[Finding]:
    """What keeps a file from being PDF/A-3b; empty when nothing was found. Never raises for a bad file."""
    found = list(_bytes(data))
    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            if len(pdf.objects) > _MAX_OBJECTS:
                return [*found, Finding("too-many-objects", "-", f"more than {_MAX_OBJECTS} objects; not checked")]
            for rule in (_trailer, _metadata, _output_intent, _catalog, _objects, _attachments, _form, _pages):
                found += rule(pdf)
    except pikepdf.PasswordError:
        found.append(Finding("encryption", "6.1.3", "the file is encrypted"))
    except (pikepdf.PdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as exc:
        found.append(Finding("unreadable", "6.1.2", f"the file's structure cannot be read ({type(exc).__name__})"))
    return found


# --- the file as bytes ------------------------------------------------------------------------------------------------


def _bytes(data: bytes) -> Iterator[Finding]:
    head = re.match(rb"%PDF-1\.[0-7][\r\n]+(%.{4})", data, re.S)
    if not head:
        yield Finding("header", "6.1.2", "the file must begin with %PDF-1.n and a comment of binary bytes")
    elif any(b < 128 for b in head[1][1:]):
        yield Finding("header", "6.1.2", "the comment after the header needs four bytes above 127")
    end = data.rfind(b"%%EOF")
    if end < 0 or data[end + 5 :] not in (b"", b"\n", b"\r", b"\r\n"):
        yield Finding("end-of-file", "6.1.3", "nothing but one line end may follow the last %%EOF")


# --- document level ---------------------------------------------------------------------------------------------------


def _trailer(pdf: Pdf) -> Iterator[Finding]:
    if "/Encrypt" in pdf.trailer:
        yield Finding("encryption", "6.1.3", "the file is encrypted")
    ids = pdf.trailer.get("/ID")
    if not isinstance(ids, Array) or len(ids) != 2:
        yield Finding("trailer-id", "6.1.3", "the trailer lacks a file identifier (/ID)")


def _metadata(pdf: Pdf) -> Iterator[Finding]:
    stream = pdf.Root.get("/Metadata")
    if not isinstance(stream, Stream):
        yield Finding("xmp", "6.6.2.1", "the document has no XMP metadata")
        return
    if stream.get("/Filter") is not None:
        yield Finding("xmp-filter", "6.6.2.1", "the XMP metadata must not be compressed")
    xmp = stream.read_bytes().decode("utf-8", "replace")
    part = re.search(r"pdfaid:part(?:>|=[\"'])\s*(\d)", xmp)
    level = re.search(r"pdfaid:conformance(?:>|=[\"'])\s*([A-Z])", xmp)
    if not part or part[1] != "3" or not level or level[1] not in "ABU":
        yield Finding("xmp-identification", "6.6.4", "the XMP metadata do not name PDF/A-3 (pdfaid:part, pdfaid:conformance)")


def _output_intent(pdf: Pdf) -> Iterator[Finding]:
    profiles = []
    for intent in _array(pdf.Root.get("/OutputIntents")):
        if intent.get("/S") == "/GTS_PDFA1":
            profile = intent.get("/DestOutputProfile")
            if not isinstance(profile, Stream):
                yield Finding("output-intent", "6.2.3", "the PDF/A output intent embeds no ICC profile")
            else:
                profiles.append(profile)
                if profile.read_bytes()[36:40] != b"acsp":
                    yield Finding("output-intent", "6.2.3", "the output intent's ICC profile cannot be read")
    if not profiles:
        yield Finding("output-intent", "6.2.3", "the document has no PDF/A output intent, so device colours mean nothing")


def _catalog(pdf: Pdf) -> Iterator[Finding]:
    root = pdf.Root
    for key, clause in (("/AA", "6.5.2"), ("/Requirements", "6.10"), ("/NeedsRendering", "6.4.2")):
        if key in root:
            yield Finding("catalog-key", clause, f"the catalog must not contain {key}", key)
    names = root.get("/Names")
    if isinstance(names, Dictionary):
        for key in ("/JavaScript", "/AlternatePresentations"):
            if key in names:
                yield Finding("javascript" if key == "/JavaScript" else "catalog-key", "6.5.1", f"{key} is not allowed", key)
    version = root.get("/Version")
    if version is not None and not re.fullmatch(r"/1\.[0-7]", str(version)):
        yield Finding("version", "6.1.2", "the document claims a version above 1.7")
    perms = root.get("/Perms")
    if isinstance(perms, Dictionary):
        for key in perms.keys():  # noqa: SIM118 - a pikepdf dictionary iterates only so
            if key not in ("/UR3", "/DocMDP"):
                yield Finding("permissions", "6.1.12", f"{key} is not allowed among the permissions", key)


def _objects(pdf: Pdf) -> Iterator[Finding]:
    """Rules that hold for an object wherever it hangs: streams, actions, images, graphics states."""
    for obj in pdf.objects:
        where = f"object {obj.objgen[0]}"
        if isinstance(obj, Stream):
            yield from _stream(obj, where)
        if isinstance(obj, (Dictionary, Stream)):
            kind, action = obj.get("/Type"), obj.get("/S")
            if action in _FORBIDDEN_ACTIONS and (kind == "/Action" or action in ("/JavaScript", "/Launch")):
                yield Finding("action", "6.5.1", f"the action {action!s} is not allowed", where)
            if action == "/Named" and obj.get("/N") not in _NAMED_ACTIONS:
                yield Finding("action", "6.5.1", "a named action other than turning pages is not allowed", where)
            if kind == "/ExtGState" and ("/TR" in obj or "/HTP" in obj or obj.get("/TR2", "/Default") != "/Default"):
                yield Finding("transfer-function", "6.2.5", "a graphics state has a transfer function", where)
            for holder in (obj, obj.get("/AA")):
                nested = holder.get("/A") if isinstance(holder, Dictionary) and kind == "/Annot" else None
                if isinstance(nested, Dictionary) and nested.get("/S") in _FORBIDDEN_ACTIONS:
                    yield Finding("action", "6.5.1", f"the action {nested.get('/S')!s} is not allowed", where)


def _stream(obj: Stream, where: str) -> Iterator[Finding]:
    if any(k in obj for k in ("/F", "/FFilter", "/FDecodeParms")):
        yield Finding("external-content", "6.1.7.1", "a stream keeps its content outside the file", where)
    filters = [str(f) for f in _array(obj.get("/Filter"))]
    if {"/LZWDecode", "/LZW", "/Crypt"} & set(filters):
        yield Finding("filter", "6.1.7.2", "LZW and Crypt filters are not allowed", where)
    kind = obj.get("/Subtype")
    if kind == "/PS":
        yield Finding("postscript", "6.2.9", "PostScript is not allowed", where)
    if kind == "/Form" and ("/OPI" in obj or "/Ref" in obj or obj.get("/Subtype2") == "/PS"):
        yield Finding("external-content", "6.2.9", "a form refers to outside content or PostScript", where)
    if kind == "/Image":
        if "/Alternates" in obj or "/OPI" in obj:
            yield Finding("image", "6.2.8", "an image has alternates or OPI", where)
        if _true(obj.get("/Interpolate")):
            yield Finding("image", "6.2.8", "an image asks to be interpolated", where)


# --- attachments ------------------------------------------------------------------------------------------------------


def _attachments(pdf: Pdf) -> Iterator[Finding]:
    associated = {f.objgen for f in _array(pdf.Root.get("/AF")) if isinstance(f, Dictionary)}
    names = pdf.Root.get("/Names")
    tree = names.get("/EmbeddedFiles") if isinstance(names, Dictionary) else None
    if not isinstance(tree, Dictionary):
        return
    for name, spec in pikepdf.NameTree(tree).items():
        where = f"attachment {name!s}"
        if not isinstance(spec, Dictionary):
            yield Finding("attachment", "6.8", "an attachment is not a file specification", where)
            continue
        if "/F" not in spec or "/UF" not in spec:
            yield Finding("attachment", "6.8", "an attachment needs /F and /UF", where)
        if spec.get("/AFRelationship") not in ("/Source", "/Data", "/Alternative", "/Supplement", "/Unspecified"):
            yield Finding("attachment-relationship", "6.8", "an attachment says nothing of its relationship", where)
        if spec.objgen not in associated:
            yield Finding("attachment-associated", "6.8", "an attachment is not associated with the document (/AF)", where)
        embedded = spec.get("/EF")
        file = embedded.get("/F") if isinstance(embedded, Dictionary) else None
        if not isinstance(file, Stream) or not re.fullmatch(r"/[\w.+-]+/[\w.+-]+", str(file.get("/Subtype"))):
            yield Finding("attachment-type", "6.8", "an attachment has no MIME type", where)


# --- forms, pages, annotations ----------------------------------------------------------------------------------------


def _form(pdf: Pdf) -> Iterator[Finding]:
    form = pdf.Root.get("/AcroForm")
    if not isinstance(form, Dictionary):
        return
    if _true(form.get("/NeedAppearances")):
        yield Finding("need-appearances", "6.4.1", "the form leaves appearances to the viewer")
    if "/XFA" in form:
        yield Finding("xfa", "6.4.2", "XFA forms are not allowed")


def _pages(pdf: Pdf) -> Iterator[Finding]:
    walk = _Walk()
    for number, page in enumerate(pdf.pages, 1):
        where = f"page {number}"
        if "/AA" in page.obj or "/PresSteps" in page.obj:
            yield Finding("page-key", "6.5.2", "a page must not have additional actions or presentation steps", where)
        yield from walk.content(page.obj, page.obj.get("/Resources") or page.resources, where, 0)
        for annotation in _array(page.obj.get("/Annots")):
            yield from _annotation(annotation, walk, where)


def _annotation(annotation: Object, walk: _Walk, where: str) -> Iterator[Finding]:
    if not isinstance(annotation, Dictionary):
        yield Finding("annotation", "6.3.1", "an annotation is not a dictionary", where)
        return
    kind = str(annotation.get("/Subtype"))
    where = f"{where}, {kind[1:]} annotation"
    if kind in _FORBIDDEN_ANNOTATIONS:
        yield Finding("annotation", "6.3.1", f"annotations of kind {kind[1:]} are not allowed", where)
    flags = int(annotation.get("/F", 0))
    if kind != "/Popup" and (not flags & _PRINT or flags & (_INVISIBLE | _HIDDEN | _NO_VIEW | _TOGGLE_NO_VIEW)):
        yield Finding("annotation-flags", "6.3.2", "an annotation must be printed and never hidden", where)
    if kind == "/Widget" and ("/A" in annotation or "/AA" in annotation):
        yield Finding("widget-action", "6.4.1", "a form field must not have actions", where)
    rect = [float(v) for v in _array(annotation.get("/Rect"))]
    empty = len(rect) == 4 and rect[0] == rect[2] and rect[1] == rect[3]
    appearance = annotation.get("/AP")
    if not isinstance(appearance, Dictionary):
        if kind not in ("/Popup", "/Link") and not empty:
            yield Finding("annotation-appearance", "6.3.3", "an annotation has no appearance of its own", where)
        return
    if set(appearance.keys()) != {"/N"}:
        yield Finding("annotation-appearance", "6.3.3", "an appearance has other states than the normal one", where)
    normal = appearance.get("/N")
    streams = [normal] if isinstance(normal, Stream) else list(normal.values()) if isinstance(normal, Dictionary) else []
    if not streams and not empty:
        yield Finding("annotation-appearance", "6.3.3", "an annotation's appearance is missing", where)
    for stream in streams:
        if isinstance(stream, Stream):
            yield from walk.content(stream, stream.get("/Resources"), where, 0)


_RESOURCE_OPERATORS: dict[str, str] = {
    "Tf": "/Font",
    "Do": "/XObject",
    "cs": "/ColorSpace",
    "CS": "/ColorSpace",
    "sh": "/Shading",
}
_CMYK_OPERATORS = frozenset(("k", "K"))
_LOOKED_AT = " ".join([*_RESOURCE_OPERATORS, *_CMYK_OPERATORS])


class _Walk:
    """Content streams and what they use; each stream is read once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def content(self, holder: Object, resources: Object | None, where: str, depth: int) -> Iterator[Finding]:
        if depth > _MAX_FORM_DEPTH:
            yield Finding("nesting", "6.1.13", "forms are nested too deeply", where)
            return
        if holder.is_indirect:
            if holder.objgen in self._seen:
                return
            self._seen.add(holder.objgen)
        used: dict[str, set[str]] = {}
        for instruction in pikepdf.parse_content_stream(holder, _LOOKED_AT):
            operands, name = instruction.operands, str(instruction.operator)
            if name in _CMYK_OPERATORS:
                yield Finding("device-colour", "6.2.4.3", "DeviceCMYK is used without a CMYK output intent", where)
            elif name in _RESOURCE_OPERATORS and operands:
                used.setdefault(_RESOURCE_OPERATORS[name], set()).add(str(operands[0]))
        for category, names in used.items():
            table = resources.get(category) if isinstance(resources, Dictionary) else None
            for name in sorted(names):
                yield from self._resource(category, name, table, where, depth)

    def _resource(self, category: str, name: str, table: Object | None, where: str, depth: int) -> Iterator[Finding]:
        value = table.get(name) if isinstance(table, Dictionary) else None
        if value is None:
            if category != "/ColorSpace":
                yield Finding("resource-missing", "6.2.2", f"{name} is used but not among the resources", where)
            return
        if category == "/Font":
            yield from self._font(value, name, where, depth)
        elif category == "/XObject" and value.get("/Subtype") == "/Form":
            yield from self.content(value, value.get("/Resources"), where, depth + 1)
        elif category == "/XObject" and _base_space(value.get("/ColorSpace")) == "/DeviceCMYK":
            yield Finding("device-colour", "6.2.4.3", "an image uses DeviceCMYK without a CMYK output intent", where)
        elif category == "/ColorSpace" and _base_space(value) == "/DeviceCMYK":
            yield Finding("device-colour", "6.2.4.3", "DeviceCMYK is used without a CMYK output intent", where)

    def _font(self, font: Object, name: str, where: str, depth: int) -> Iterator[Finding]:
        if font.get("/Subtype") == "/Type3":
            for glyph in (font.get("/CharProcs") or Dictionary()).values():
                yield from self.content(glyph, font.get("/Resources"), where, depth + 1)
            return
        bearer = font
        if font.get("/Subtype") == "/Type0":
            descendants = _array(font.get("/DescendantFonts"))
            bearer = descendants[0] if descendants else font
        descriptor = bearer.get("/FontDescriptor")
        files = ("/FontFile", "/FontFile2", "/FontFile3")
        if not isinstance(descriptor, Dictionary) or not any(isinstance(descriptor.get(f), Stream) for f in files):
            yield Finding("font-embedding", "6.2.11.4.1", f"the font {font.get('/BaseFont', name)!s} is not embedded", where)


def _base_space(space: Any) -> str:
    """The colour space that a (possibly indexed or separation) space ends in."""
    for _ in range(8):
        if not isinstance(space, Array) or len(space) < 2:
            return str(space)
        if space[0] == "/Indexed" or (space[0] == "/Pattern" and len(space) > 1):
            space = space[1]
        elif space[0] in ("/Separation", "/DeviceN") and len(space) > 2:
            space = space[2]
        else:
            return str(space[0])
    return ""


def _true(value: Any) -> bool:
    return value is True


def _array(value: Any) -> list[Any]:
    """An array's elements; a single object as a list of one; nothing as none."""
    if value is None:
        return []
    return list(value) if isinstance(value, Array) else [value]
