"""What changed between a signed revision and a later one, judged on what the documents *are*, not on how they are stored.

Both revisions are opened on their own and walked from the catalogue together; every difference is put into one of four
classes. Objects that merely move in the file are no change; an object reached by a forbidden way is one, however it got there
(shadow attacks re-point references to objects that were there all along, so looking at what an update adds is not enough).

``permitted``: later signatures and seals, document timestamps, the evidence store (DSS), metadata, filled-in form fields;
``annotation``: notes and stamps; ``undefined``: everything else (ISO 32000-2 §12.8.2, classes after EU DSS).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import pikepdf

from policies.verification import VerificationPolicy
from verify import pdf as reader
from verify.pdf import FormField, get


class ChangeClass(IntEnum):
    """Worse is greater."""

    NONE = 0
    PERMITTED = 1
    ANNOTATION = 2
    UNDEFINED = 3

    @property
    def label(self) -> str:
        """The word of the verdict JSON."""
        return self.name.lower()


@dataclass(frozen=True)
class Change:
    """One difference: where (a path of PDF names), how bad, and its kind.

    ``kind``: signature | timestamp | evidence | evidence-removed | metadata | extension | form | annotation | undefined.
    """

    path: str
    severity: ChangeClass
    kind: str


@dataclass
class Comparison:
    """All differences of two revisions, and where on which page later signatures and filled fields may show."""

    changes: list[Change] = field(default_factory=list)
    areas: dict[int, list[list[float]]] = field(default_factory=dict)
    pages_before: int = 0
    pages_after: int = 0
    filled: set[str] = field(default_factory=set)

    @property
    def severity(self) -> ChangeClass:
        return max((c.severity for c in self.changes), default=ChangeClass.NONE)

    def kinds(self) -> set[str]:
        """Kinds of all differences."""
        return {c.kind for c in self.changes}

    def paths(self, severity: ChangeClass) -> str:
        """The first few places of that class, for a sentence."""
        places = [c.path for c in self.changes if c.severity is severity]
        return ", ".join(places[:3]) + (" …" if len(places) > 3 else "")


class TooManyObjects(Exception):
    """More nodes than the policy allows to visit."""


# Keys that a signature field gets when it is signed, and a form field when it is filled in.
_SIGNING_KEYS = {"/V", "/AP", "/AS", "/F", "/M", "/MK", "/DA", "/DR", "/Type", "/Subtype", "/Border", "/BS"}
_FILLING_KEYS = {"/V", "/AP", "/AS", "/M", "/I", "/RV", "/Ff", "/F"}
# Back-references and bookkeeping; what they lead to is compared where it lives.
_LINKS = {"/Parent", "/P", "/Kids", "/StructParent", "/Popup", "/IRT"}
# What an evidence store and a developer extension hold (§12.8.4.3, §7.12); with other entries they could pass for a font.
_EVIDENCE_KEYS = {"/Type", "/VRI", "/Certs", "/OCSPs", "/CRLs"}
_EXTENSION_KEYS = {"/Type", "/BaseVersion", "/ExtensionLevel", "/URL", "/ExtensionRevision"}
_MAX_PAGE_DEPTH = 64
_HARMLESS_FLAGS = 64 | 128 | 512  # ReadOnly, Locked, LockedContents: the others decide whether a field shows (§12.5.3)


class RevisionComparer:
    """Compares two opened revisions of one file."""

    def __init__(self, before: pikepdf.Pdf, after: pikepdf.Pdf, policy: VerificationPolicy) -> None:
        self.before = before
        self.after = after
        self.budget = policy.limits.objects
        self.result = Comparison()
        self._same: set[tuple[tuple[int, int], tuple[int, int]]] = set()
        self._parents: set[tuple[tuple[int, int], tuple[int, int]]] = set()
        self._appeared: set[str] = set()
        self._touched: set[str] = set()

    def run(self) -> Comparison:
        """Compare everything that can be reached.

        :raises TooManyObjects: the documents are larger than the policy lets a comparison grow
        """
        nodes_before, pages_before = reader.page_tree(self.before)
        nodes_after, pages_after = reader.page_tree(self.after)
        self.result.pages_before, self.result.pages_after = len(pages_before), len(pages_after)
        self._take_as_same(self.before.Root, self.after.Root)
        for a, b in zip(pages_before, pages_after, strict=False):
            self._take_as_same(a, b)
        groups_before, groups_after = reader.field_groups(self.before), reader.field_groups(self.after)
        for name, group in groups_before.items():
            if name in groups_after:
                self._take_as_same(group, groups_after[name])
        fields_before, fields_after = _by_name(reader.fields(self.before)), _by_name(reader.fields(self.after))
        self._values_before = {_id(get(f.node, "/V")) for f in fields_before.values()} - {(0, 0)}
        self._values_after = Counter(_id(get(f.node, "/V")) for f in fields_after.values())
        self._writable = any(f.kind != "/Sig" for f in fields_before.values())
        for name, one in fields_before.items():
            other = fields_after.get(name)
            if other is not None:
                self._take_as_same(one.node, other.node)
                for a, b in zip(one.widgets, other.widgets, strict=False):
                    self._take_as_same(a, b)
        self._catalogue()
        self._trailer()
        self._page_nodes(nodes_before, nodes_after)
        self._groups(groups_before, groups_after)
        self._fields(fields_before, fields_after)
        self._pages(pages_before, pages_after, fields_before, fields_after)
        return self.result

    # What may change

    def _catalogue(self) -> None:
        before, after = self.before.Root, self.after.Root
        for key in _keys(before) | _keys(after):
            a, b = get(before, key), get(after, key)
            if key == "/AcroForm":
                self._form(a, b)
            elif key == "/Pages":
                continue  # page by page, with what pages inherit
            elif key == "/DSS":
                self._evidence(a, b)
            elif self._equal(a, b):
                continue
            elif key == "/Metadata" and _is_metadata(b):
                self._note("/Root/Metadata", ChangeClass.PERMITTED, "metadata")
            elif key == "/Names" and self._only_icons(a, b):
                self._note("/Root/Names/AP", ChangeClass.ANNOTATION, "annotation")
            elif key == "/Extensions" and _is_extensions(b):
                self._note("/Root/Extensions", ChangeClass.PERMITTED, "extension")
            elif key == "/Version" and (a is None or str(b) > str(a)):
                self._note("/Root/Version", ChangeClass.PERMITTED, "extension")
            else:
                self._note(f"/Root{key}")

    def _only_icons(self, a: Any, b: Any) -> bool:
        """Whether a name dictionary differs in the appearances of notes only (Acrobat keeps the icons of notes there)."""
        keys = (_keys(a) | _keys(b)) - {"/AP"}
        return isinstance(b, pikepdf.Dictionary) and all(self._equal(get(a, key), get(b, key)) for key in keys)

    def _trailer(self) -> None:
        a, b = self.before.trailer.get("/Encrypt"), self.after.trailer.get("/Encrypt")
        if (a is None) != (b is None) or not self._equal(a, b):
            self._note("/Encrypt")
        if not self._equal(self.before.trailer.get("/Info"), self.after.trailer.get("/Info")):
            self._note("/Info", ChangeClass.PERMITTED, "metadata")

    def _form(self, a: Any, b: Any) -> None:
        if a is None and b is None:
            return
        if b is None:
            self._note("/AcroForm")
            return
        for key in _keys(a) | _keys(b):
            if key == "/Fields" or self._equal(get(a, key), get(b, key)):
                continue
            if key == "/SigFlags" or (key in {"/DR", "/DA"} and self._only_added(get(a, key), get(b, key))):
                self._note(f"/AcroForm{key}", ChangeClass.PERMITTED, "extension")
            elif key == "/NeedAppearances" and not self._writable:
                self._note("/AcroForm/NeedAppearances", ChangeClass.PERMITTED, "form")
            elif key == "/NeedAppearances":
                # Viewers then paint the fields' values instead of what was seen when the document was signed.
                self._note("/AcroForm/NeedAppearances", ChangeClass.ANNOTATION, "annotation")
            else:
                self._note(f"/AcroForm{key}")

    def _only_added(self, a: Any, b: Any, depth: int = 0) -> bool:
        """Whether a dictionary only gained entries (new fonts for a new stamp)."""
        if a is None:
            return True
        if not (isinstance(a, pikepdf.Dictionary) and isinstance(b, pikepdf.Dictionary)) or depth > 4:
            return self._equal(a, b)
        return all(self._only_added(get(a, key), get(b, key), depth + 1) for key in _keys(a))

    def _evidence(self, a: Any, b: Any) -> None:
        if self._equal(a, b):
            return
        if not (b is None or (isinstance(b, pikepdf.Dictionary) and _keys(b) <= _EVIDENCE_KEYS)):
            self._note("/Root/DSS (more than evidence)")
            return
        lost = [key for key in ("/Certs", "/OCSPs", "/CRLs") if len(reader.array(a, key)) > len(reader.array(b, key))]
        self._note("/Root/DSS", ChangeClass.PERMITTED, "evidence-removed" if b is None or lost else "evidence")

    # Fields

    def _groups(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Fields that only hold others: what they pass on (values, actions, fonts) must stay."""
        for name, one in before.items():
            other = after.get(name)
            if other is None or not self._equal_without_links(one, other):
                self._note(f"/AcroForm/{name} (group)")

    def _fields(self, before: dict[str, FormField], after: dict[str, FormField]) -> None:
        for name, one in before.items():
            other = after.get(name)
            if other is None:
                self._note(f"/AcroForm/{name} (removed)")
                continue
            self._field(one, other)
        for name, new in after.items():
            if name not in before:
                self._new_field(name, new)

    def _new_field(self, name: str, new: FormField) -> None:
        value = get(new.node, "/V")
        if new.kind != "/Sig":
            self._note(f"/AcroForm/{name} (new {new.kind.lstrip('/') or 'field'})")
        elif isinstance(value, pikepdf.Dictionary) and not self._own_value(value):
            self._note(f"/AcroForm/{name} (another field's signature)")
        elif isinstance(value, pikepdf.Dictionary) and reader.bytes_of(value, "/Contents").strip(b"\x00"):
            self._appeared.add(name)
            self._signed(name, new)
        elif _painted(new):
            # Painted, yet signed by nobody: it is a stamp that only looks like a signature.
            self._note(f"/AcroForm/{name} (unsigned, visible)", ChangeClass.ANNOTATION, "annotation")
        else:
            self._appeared.add(name)
            self._note(f"/AcroForm/{name}", ChangeClass.PERMITTED, "form")

    def _own_value(self, value: Any) -> bool:
        """Whether a new signature's dictionary was no field's before and is no other field's now."""
        return _id(value) not in self._values_before and (_id(value) == (0, 0) or self._values_after[_id(value)] == 1)

    def _signed(self, name: str, new: FormField) -> None:
        """A field that gained a signature, which is judged for itself; a timestamp, which anybody can have made, is no seal."""
        timestamp = (
            str(get(new.node, "/V", "/SubFilter")) == "/ETSI.RFC3161" or str(get(new.node, "/V", "/Type")) == "/DocTimeStamp"
        )
        if timestamp and _painted(new):
            self._note(f"/AcroForm/{name} (visible timestamp)", ChangeClass.ANNOTATION, "annotation")
        else:
            self._note(f"/AcroForm/{name}", ChangeClass.PERMITTED, "timestamp" if timestamp else "signature")

    def _field(self, a: FormField, b: FormField) -> None:
        signed_before = a.kind == "/Sig" and isinstance(get(a.node, "/V"), pikepdf.Dictionary)
        signed_now = a.kind == "/Sig" and isinstance(get(b.node, "/V"), pikepdf.Dictionary)
        if a.kind != b.kind or len(a.widgets) != len(b.widgets):
            self._note(f"/AcroForm/{a.name} (kind)")
            return
        nodes = [(a.node, b.node)]
        nodes += [(x, y) for x, y in zip(a.widgets, b.widgets, strict=True) if _id(x) != _id(a.node) or _id(x) == (0, 0)]
        changed: set[str] = set()
        for x, y in nodes:
            changed |= {k for k in (_keys(x) | _keys(y)) - _LINKS if not self._equal(get(x, k), get(y, k))}
        if not changed:
            return
        self._touched.add(a.name)
        if signed_before:
            self._note(f"/AcroForm/{a.name} (signed field: {', '.join(sorted(changed))})")
        elif signed_now and not self._own_value(get(b.node, "/V")):
            self._note(f"/AcroForm/{a.name} (another field's signature)")
        elif signed_now and changed <= _SIGNING_KEYS and self._used_elsewhere(a):
            self._note(f"/AcroForm/{a.name} (used elsewhere)")
        elif signed_now and changed <= _SIGNING_KEYS and reader.bytes_of(get(b.node, "/V"), "/Contents").strip(b"\x00"):
            self._appeared.add(a.name)
            self._signed(a.name, b)
        elif a.kind == "/Sig":
            self._note(f"/AcroForm/{a.name} (unsigned: {', '.join(sorted(changed))})", ChangeClass.ANNOTATION, "annotation")
        elif changed <= _FILLING_KEYS and changed & {"/V", "/AS", "/RV", "/I"}:
            self._filled(a, b)
        elif changed <= {"/Ff", "/M", "/F"} and _show_alike(a, b):
            self._note(f"/AcroForm/{a.name}", ChangeClass.PERMITTED, "form")
        else:
            # An appearance that changes while the value stays shows something the field does not say (shadow replace).
            self._note(f"/AcroForm/{a.name} ({', '.join(sorted(changed))})")

    def _used_elsewhere(self, form_field: FormField) -> bool:
        """Whether the field or its former appearance also serves another part of the document (as a font, a picture …).

        Such an object is no longer the field's to change: what was signed as one thing would become two.
        """
        allowed = {_id(x): {"/AP", "/N"} for w in form_field.widgets for x in (get(w, "/AP"), get(w, "/AP", "/N"))}
        allowed |= {_id(x): {"[]", "/Parent", "/Obj"} for x in (form_field.node, *form_field.widgets)}
        allowed.pop((0, 0), None)
        if not allowed:
            return False
        for owner in self.before.objects:
            stack: list[tuple[Any, str]] = [(owner, "")]
            while stack:
                node, via = stack.pop()
                self.budget -= 1
                if self.budget < 0:
                    raise TooManyObjects
                if node is not owner and _id(node) != (0, 0):
                    if via not in allowed.get(_id(node), {via}):
                        return True
                elif isinstance(node, pikepdf.Array):
                    stack += [(item, "[]") for item in node]
                else:
                    stack += [(get(node, key), key) for key in _keys(node)]
        return False

    def _filled(self, a: FormField, b: FormField) -> None:
        """A field filled in: fine where it was empty; a value that was signed may not turn into another one."""
        old = get(a.node, "/V")
        had_value = old is not None and str(old).strip() not in ("", "/Off")
        self.result.filled.add(a.name)
        shown = (
            ("/V", a.node, b.node),
            *((k, x, y) for x, y in zip(a.widgets, b.widgets, strict=True) for k in ("/AP", "/AS")),
        )
        alike = _show_alike(a, b) and all(self._equal(get(x, key), get(y, key)) for key, x, y in shown)
        if had_value and not alike:
            self._note(f"/AcroForm/{a.name} (value that was signed)")
        else:
            self._note(f"/AcroForm/{a.name}", ChangeClass.PERMITTED, "form")

    # Pages

    def _page_nodes(self, before: list[Any], after: list[Any]) -> None:
        """Inner nodes of the page tree, as a walk from the root meets them: readers differ in which way they inherit."""
        if len(before) != len(after):
            self._note(f"/Pages (nodes: {len(before)} → {len(after)})")
        for a, b in zip(before, after, strict=False):
            self._take_as_same(a, b)
            for key in (_keys(a) | _keys(b)) - {"/Kids", "/Count", "/Parent"}:
                if not self._equal(get(a, key), get(b, key)):
                    self._note(f"/Pages{key}")

    def _inherited(self, number: int, a: Any, b: Any) -> None:
        """What a page inherits: every node above it, as /Parent tells, must be what it was but for its children."""
        for _ in range(_MAX_PAGE_DEPTH):
            a, b = get(a, "/Parent"), get(b, "/Parent")
            if a is None and b is None:
                return
            pair = (_id(a), _id(b))
            if pair in self._parents:
                return
            if (0, 0) not in pair:
                self._parents.add(pair)
            for key in (_keys(a) | _keys(b)) - {"/Kids", "/Count", "/Parent"}:
                if not self._equal(get(a, key), get(b, key)):
                    self._note(f"page {number}/Parent{key}")
        self._note(f"page {number}/Parent (too deep)")

    def _pages(
        self, before: list[Any], after: list[Any], fields_before: dict[str, FormField], fields_after: dict[str, FormField]
    ) -> None:
        if len(before) != len(after):
            self._note(f"/Pages ({len(before)} → {len(after)})")
        old_widgets = _widget_names(fields_before.values())
        new_widgets = _widget_names(fields_after.values())
        for number, (a, b) in enumerate(zip(before, after, strict=False), 1):
            self._inherited(number, a, b)
            for key in (_keys(a) | _keys(b)) - {"/Annots", "/Parent"}:
                if not _is_bookkeeping(key, get(b, key)) and not self._equal(get(a, key), get(b, key)):
                    self._note(f"page {number}{key}")
            self._annotations(number, a, b, old_widgets, new_widgets)

    def _annotations(self, number: int, a: Any, b: Any, old_widgets: dict[Any, str], new_widgets: dict[Any, str]) -> None:
        old = [x for x in reader.array(a, "/Annots") if isinstance(x, pikepdf.Dictionary)]
        new = [x for x in reader.array(b, "/Annots") if isinstance(x, pikepdf.Dictionary)]
        matched: set[int] = set()
        for one in old:
            name = old_widgets.get(_id(one))
            position = self._find(one, name, new, new_widgets, matched)
            if position is None:
                self._note(f"page {number}/Annots (removed{' ' + name if name else ''})", *_worse(name))
                continue
            matched.add(position)
            other = new[position]
            if name is None and not self._equal_without_links(one, other):
                self._note(f"page {number}/Annots ({_subtype(other)} changed)", ChangeClass.ANNOTATION, "annotation")
            if name in self._touched:
                self._allow(number, other)
        for position, other in enumerate(new):
            if position in matched:
                continue
            name = new_widgets.get(_id(other))
            if name is None:
                self._note(f"page {number}/Annots ({_subtype(other)} added)", ChangeClass.ANNOTATION, "annotation")
            elif name in old_widgets.values() and name not in self._appeared:
                self._note(f"page {number}/Annots (field {name} was not shown here)")
            else:
                self._allow(number, other)

    def _find(self, one: Any, name: str | None, new: list[Any], new_widgets: dict[Any, str], matched: set[int]) -> int | None:
        """Position of the annotation that ``one`` has become: by object number, by field, else by equal content."""
        for position, other in enumerate(new):
            if position not in matched and _id(one) != (0, 0) and _id(one) == _id(other):
                return position
        for position, other in enumerate(new):
            if position in matched:
                continue
            if (name is not None and new_widgets.get(_id(other)) == name) or (
                name is None and self._equal_without_links(one, other)
            ):
                return position
        return None

    def _allow(self, number: int, widget: Any) -> None:
        rect = reader.numbers(get(widget, "/Rect"))
        if len(rect) == 4 and rect[0] != rect[2] and rect[1] != rect[3]:
            self.result.areas.setdefault(number, []).append(rect)

    # Equality

    def _equal_without_links(self, a: Any, b: Any) -> bool:
        return all(self._equal(get(a, k), get(b, k)) for k in (_keys(a) | _keys(b)) - _LINKS)

    def _equal(self, a: Any, b: Any) -> bool:
        """Deep equality of two objects of two files, without recursion, each pair of indirect objects looked at once."""
        assumed: set[tuple[tuple[int, int], tuple[int, int]]] = set()
        stack = [(a, b)]
        while stack:
            x, y = stack.pop()
            self.budget -= 1
            if self.budget < 0:
                raise TooManyObjects
            indirect = (x.objgen, y.objgen) if _is_indirect(x) and _is_indirect(y) else None
            if indirect is not None:
                if indirect in self._same or indirect in assumed:
                    continue
                assumed.add(indirect)
            if type(x) is not type(y):
                return False
            if isinstance(x, pikepdf.Stream):
                if x.read_raw_bytes() != y.read_raw_bytes():
                    return False
                keys = (_keys(x) | _keys(y)) - {"/Length"}
                stack += [(get(x, k), get(y, k)) for k in keys]
            elif isinstance(x, pikepdf.Dictionary):
                if _keys(x) != _keys(y):
                    return False
                stack += [(get(x, k), get(y, k)) for k in _keys(x)]
            elif isinstance(x, pikepdf.Array):
                if len(x) != len(y):
                    return False
                stack += list(zip(x, y, strict=True))
            elif isinstance(x, pikepdf.String):
                if bytes(x) != bytes(y):
                    return False
            elif x != y:
                return False
        self._same |= assumed
        return True

    def _take_as_same(self, a: Any, b: Any) -> None:
        """References to these two count as equal: they are compared on their own, with rules of their own."""
        if _is_indirect(a) and _is_indirect(b):
            self._same.add((a.objgen, b.objgen))

    def _note(self, path: str, severity: ChangeClass = ChangeClass.UNDEFINED, kind: str = "undefined") -> None:
        self.result.changes.append(Change(path, severity, kind))


def compare(before: pikepdf.Pdf, after: pikepdf.Pdf, policy: VerificationPolicy) -> Comparison:
    """All differences between two revisions. :raises TooManyObjects:"""
    return RevisionComparer(before, after, policy).run()


def forbidden_by_certification(signature: Any, comparison: Comparison) -> str:
    """What a certification (DocMDP) or a FieldMDP forbids of these changes; "" if nothing (ISO 32000-2 §12.8.2)."""
    level = 4
    for reference in reader.array(signature, "/Reference"):
        method, parameters = str(get(reference, "/TransformMethod")), get(reference, "/TransformParams")
        if method == "/DocMDP":
            stated = get(parameters, "/P")
            level = stated if isinstance(stated, int) else 2
        elif method == "/FieldMDP":
            locked = _locked(parameters, comparison.filled)
            if locked:
                return f"FieldMDP: {', '.join(sorted(locked)[:3])}"
    kinds = comparison.kinds()
    if level == 1 and kinds - {"evidence", "evidence-removed", "timestamp", "extension", "metadata"}:
        return "DocMDP P=1"
    if level == 2 and "annotation" in kinds:
        return "DocMDP P=2"
    return ""


def _locked(parameters: Any, filled: set[str]) -> set[str]:
    """Filled fields that a FieldMDP or SigFieldLock dictionary locks."""
    action = str(get(parameters, "/Action"))
    named = {str(f) for f in reader.array(parameters, "/Fields")}
    covered = {f for f in filled if any(f == n or f.startswith(n + ".") for n in named)}
    return {"/All": filled, "/Include": covered, "/Exclude": filled - covered}.get(action, set())


def _keys(node: Any) -> set[str]:
    return set(node.keys()) if isinstance(node, pikepdf.Dictionary | pikepdf.Stream) else set()


def _is_indirect(node: Any) -> bool:
    return isinstance(node, pikepdf.Object) and bool(node.is_indirect)


def _id(node: Any) -> tuple[int, int]:
    return node.objgen if _is_indirect(node) else (0, 0)


def _is_metadata(node: Any) -> bool:
    return isinstance(node, pikepdf.Stream) and str(get(node, "/Type")) == "/Metadata" and str(get(node, "/Subtype")) == "/XML"


def _is_extensions(node: Any) -> bool:
    """A dictionary of developer extensions, each one dictionary or several."""
    entries = [get(node, key) for key in _keys(node) - {"/Type"}]
    entries = [x for entry in entries for x in (entry if isinstance(entry, pikepdf.Array) else [entry])]
    return isinstance(node, pikepdf.Dictionary) and all(
        isinstance(x, pikepdf.Dictionary) and _keys(x) <= _EXTENSION_KEYS for x in entries
    )


def _is_bookkeeping(key: str, value: Any) -> bool:
    """An entry of a page that shows nothing, by its name and its kind."""
    if key == "/Metadata":
        return value is None or _is_metadata(value)
    kind = {"/Tabs": pikepdf.Name, "/LastModified": pikepdf.String, "/StructParents": int}.get(key)
    return kind is not None and (value is None or isinstance(value, kind))


def _by_name(fields: Iterable[FormField]) -> dict[str, FormField]:
    """Fields by their names; a name that comes again is numbered, so that no field hides behind another."""
    found: dict[str, FormField] = {}
    for one in fields:
        name, count = one.name, 1
        while name in found:
            count += 1
            name = f"{one.name}#{count}"
        one.name = name
        found[name] = one
    return found


def _flags(widget: Any) -> int:
    value = get(widget, "/F")
    return value if isinstance(value, int) else 0


def _show_alike(a: FormField, b: FormField) -> bool:
    """Whether the flags of two states of a field let it show at the same times."""
    return all(not (_flags(x) ^ _flags(y)) & ~_HARMLESS_FLAGS for x, y in zip(a.widgets, b.widgets, strict=True))


def _painted(form_field: FormField) -> bool:
    return any(get(w, "/AP") is not None and _visible(w) for w in form_field.widgets)


def _subtype(node: Any) -> str:
    return str(get(node, "/Subtype") or "?").lstrip("/")[:20]


def _visible(widget: Any) -> bool:
    rect = reader.numbers(get(widget, "/Rect"))
    return len(rect) == 4 and rect[0] != rect[2] and rect[1] != rect[3]


def _widget_names(fields: Iterable[FormField]) -> dict[Any, str]:
    return {_id(w): f.name for f in fields for w in f.widgets if _id(w) != (0, 0)}


def _worse(name: str | None) -> tuple[ChangeClass, str]:
    """A widget that vanishes hides a field of the document; a note that vanishes is a note less."""
    return (ChangeClass.UNDEFINED, "undefined") if name else (ChangeClass.ANNOTATION, "annotation")
