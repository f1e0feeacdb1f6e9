"""Sealing a PDF of 1 and of 20 pages, visible seal, beside pyHanko's best path and beside the sum of its own parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO

import pikepdf

from bench.measure import Job, Row, in_turns
from bench.peer import PyHanko
from crypto.keys import PublicKey
from crypto.suites import Scheme, Suite
from seals.sealing import Placement, SealingMaterial, seal_pdf
from tests.pdf_pki import material

LINES = 38
MESSAGE = b"m" * 250
"""Signed attributes have about this size."""
QUARTER = 0.25
"""The promise: sealing takes at most a quarter of the time of pyHanko's best path."""


class Replay:
    """A signer that answers with a signature made before: what sealing costs without its arithmetic."""

    def __init__(self, inner: SealingMaterial) -> None:
        self.public_key: PublicKey = inner.signer.public_key
        self._signature = inner.signer.sign(b"", inner.scheme)

    def sign(self, message: bytes, scheme: Scheme | None = None) -> bytes:
        return self._signature


def document(pages: int) -> bytes:
    """A text document such as offices have: a page of lines each, classic cross-references, a flat page tree."""
    pdf = pikepdf.new()
    font = pdf.make_indirect(
        pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    )
    for number in range(1, pages + 1):
        lines = "".join(
            f"(Line {line} of page {number}: matters of approval, for the record.) Tj T*\n" for line in range(LINES)
        )
        page = pikepdf.Dictionary(
            Type=pikepdf.Name.Page,
            MediaBox=[0, 0, 595, 842],
            Resources=pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font)),
            Contents=pdf.make_stream(f"BT /F1 11 Tf 18 TL 72 770 Td\n{lines}ET".encode()),
        )
        pdf.pages.append(pikepdf.Page(pdf.make_indirect(page)))
    out = BytesIO()
    pdf.save(out, object_stream_mode=pikepdf.ObjectStreamMode.disable, static_id=True)
    return out.getvalue()


def rows(seconds: float) -> Iterator[Row]:
    """In memory: no database, no token."""
    for pages in (1, 20):
        yield from _rsa(pages, seconds)
    yield _sm2(20, seconds / 2)


def _rsa(pages: int, seconds: float) -> Iterator[Row]:
    rsa, data, place, when = material(Suite.RSA), document(pages), Placement(pages, 105, 200), datetime.now(UTC)
    without_arithmetic = replace(rsa, signer=Replay(rsa))
    signature = rsa.signer.sign(MESSAGE, rsa.scheme)
    peers = {style: PyHanko(rsa, page=pages, style=style) for style in ("text", "vector")}
    jobs: dict[str, Job] = {
        "ours": lambda: seal_pdf(data, rsa, place, when=when).data,
        "writing": lambda: seal_pdf(data, without_arithmetic, place, when=when).data,
        "signature": lambda: rsa.signer.sign(MESSAGE, rsa.scheme),
        "check": lambda: rsa.signer.public_key.verify(MESSAGE, signature, rsa.scheme),
    }
    jobs |= {style: partial(peer.seal, data) for style, peer in peers.items()}
    took = in_turns(jobs, seconds)
    best = min(peers, key=took.__getitem__)
    case = f"PDF of {pages} page{'s' if pages > 1 else ''}, RSA-2048 in memory"
    other = "; ".join(f"{style} stamp {took[style]:.2f} ms" for style in peers)
    yield Row("sealing", case, took["ours"], f"pyHanko, best path ({best} stamp)", took[best], other, at_most=QUARTER)
    note = f"writing {took['writing']:.2f} + signature {took['signature']:.2f} ms"
    yield Row("sealing", case, took["ours"], "sum of its parts", took["writing"] + took["signature"], note)


def _sm2(pages: int, seconds: float) -> Row:
    sm2, data, place, when = material(Suite.SM2), document(pages), Placement(pages, 105, 200), datetime.now(UTC)
    took = in_turns(
        {
            "ours": lambda: seal_pdf(data, sm2, place, when=when, format="gm").data,
            "signature": lambda: sm2.signer.sign(MESSAGE, sm2.scheme),
        },
        seconds,
    )
    return Row("sealing", f"PDF of {pages} pages, SM2 in memory", took["ours"], "the bare SM2 signature", took["signature"])
