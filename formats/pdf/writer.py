"""Incremental updates (ISO 32000-2 §7.5.6): new and changed objects behind the file, in its own cross-reference style."""

from __future__ import annotations

import hashlib

from formats.pdf.errors import OutsideCommonCase
from formats.pdf.objects import PdfString, Ref, TopDict, serialise
from formats.pdf.reader import PdfFile

_TEN_DIGITS = 9_999_999_999


class Appender:
    """Collects revisions behind one file without copying the file.

    ``tails`` holds the bytes of each revision as a bytearray, so that a signature can be put in later; the file's own bytes
    stay as they are. One revision at a time: :meth:`number`, :meth:`put`, :meth:`change`, then :meth:`finish`.
    """

    def __init__(self, pdf: PdfFile) -> None:
        self.pdf = pdf
        self.tails: list[bytearray] = []
        self.length = len(pdf.data)
        self._size = pdf.size
        self._previous = pdf.startxref
        self._begin()

    def _begin(self) -> None:
        last = self.tails[-1][-1:] if self.tails else bytes(self.pdf.data[-1:])
        self._tail = bytearray(b"" if last in (b"\n", b"\r") else b"\n")
        self._entries: dict[int, tuple[int, int]] = {}

    def number(self) -> int:
        """A fresh object number."""
        self._size += 1
        return self._size - 1

    def put(self, number: int, body: bytes, generation: int = 0) -> int:
        """Write an object; returns the offset of ``body`` within the revision."""
        head = b"%d %d obj\n" % (number, generation)
        self._entries[number] = (self.length + len(self._tail), generation)
        self._tail += head
        at = len(self._tail)
        self._tail += body
        self._tail += b"\nendobj\n"
        return at

    def put_stream(self, number: int, dictionary: bytes, data: bytes) -> None:
        """Write a stream; ``dictionary`` is its text without ``<<``, ``>>`` and /Length."""
        self.put(number, b"<<%b/Length %d>>\nstream\n%b\nendstream" % (dictionary, len(data), data))

    def change(self, ref: Ref, body: bytes) -> None:
        """Write a new text for an existing object, which later revisions then see."""
        self.put(ref.num, body, ref.gen)
        self.pdf.overlay[ref.num] = (ref.gen, body)

    def add(self, number: int, body: bytes) -> None:
        """Write a new object that later revisions must be able to read."""
        self.put(number, body)
        self.pdf.overlay[number] = (0, body)

    def finish(self) -> bytearray:
        """Close the revision with its cross-references and return its bytes, in which placeholders may still be filled."""
        start = self.length + len(self._tail)
        if self.pdf.references.is_stream:
            self._write_stream(start)
        else:
            self._write_table(start)
        self._tail += b"startxref\n%d\n%%%%EOF\n" % start
        tail = self._tail
        self.tails.append(tail)
        self.length += len(tail)
        self._previous = start
        self._begin()
        return tail

    def _runs(self) -> list[list[int]]:
        runs: list[list[int]] = []
        for number in sorted(self._entries):
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        return runs

    def _trailer(self) -> bytes:
        """The entries that every trailer repeats. The second half of /ID changes with each revision (ISO 32000-2 §14.4)."""
        old: TopDict = self.pdf.references.trailer
        parts = [b"/Size %d/Prev %d/Root %d %d R" % (self._size, self._previous, *self.pdf.root)]
        info = old.value.get(b"/Info")
        if isinstance(info, Ref):
            parts.append(b"/Info %d %d R" % info)
        identifier = old.value.get(b"/ID")
        if isinstance(identifier, list) and len(identifier) == 2 and all(isinstance(i, PdfString) for i in identifier):
            fresh = hashlib.sha256(identifier[1].raw + self._tail).hexdigest()[:32].upper().encode("ascii")
            parts.append(b"/ID[%b<%b>]" % (identifier[0].raw, fresh))
        return b"".join(parts)

    def _write_table(self, start: int) -> None:
        if start > _TEN_DIGITS:
            raise OutsideCommonCase("it is too long for its kind of cross-references")
        trailer = self._trailer()
        self._tail += b"xref\n"
        for run in self._runs():
            self._tail += b"%d %d\n" % (run[0], len(run))
            for number in run:
                self._tail += b"%010d %05d n \n" % self._entries[number]
        self._tail += b"trailer\n<<%b>>\n" % trailer

    def _write_stream(self, start: int) -> None:
        number = self.number()
        self._entries[number] = (start, 0)
        width = 4 if start < 1 << 32 else 8
        rows = bytearray()
        index = bytearray()
        for run in self._runs():
            index += b"%d %d " % (run[0], len(run))
            for member in run:
                offset, generation = self._entries[member]
                rows += b"\x01" + offset.to_bytes(width, "big") + generation.to_bytes(2, "big")
        head = b"/Type/XRef/W[1 %d 2]/Index[%b]%b" % (width, bytes(index).rstrip(), self._trailer())
        self.put_stream(number, head, bytes(rows))


def with_member(pdf: PdfFile, appender: Appender, owner: Ref, key: bytes, member: bytes) -> None:
    """Append ``member`` (as written) to the array that ``owner`` holds under ``key``, be it direct, indirect or absent.

    :raises OutsideCommonCase: something else than an array is there
    """
    top, _ = pdf.top_dict(owner)
    value = top.value.get(key)
    if isinstance(value, Ref):
        array = pdf.resolve(value)
        if array is None:
            appender.change(owner, top.edited({key: b"[%b]" % member}))
            return
        if not isinstance(array, list) or isinstance(pdf.get(value.num), Ref):
            raise OutsideCommonCase("a list is something else")
        appender.change(value, b"[%b %b]" % (serialise(array)[1:-1], member))
    elif value is None:
        appender.change(owner, top.edited({key: b"[%b]" % member}))
    elif isinstance(value, list):
        start, end = top.spans[key]
        # Everything up to the closing bracket stays as it was written.
        appender.change(owner, top.edited({key: b"%b %b]" % (top.raw[start : end - 1].strip(), member)}))
    else:
        raise OutsideCommonCase("a list is something else")
