"""PDFs made for tests: small, plain, with whatever twist a test needs."""

from __future__ import annotations

from io import BytesIO

import pikepdf

A4 = (0, 0, 595.276, 841.89)


def plain(pages: int = 1, *, streams: bool = False, **attributes: object) -> bytes:
    """``pages`` pages of A4 with a line of text each; ``attributes`` go on every page (``Rotate=90``, ``CropBox=[…]``)."""
    pdf = pikepdf.new()
    font = pdf.make_indirect(
        pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    )
    for number in range(1, pages + 1):
        content = pdf.make_stream(b"BT /F1 24 Tf 72 700 Td (Page %d of the approval) Tj ET" % number)
        page = pikepdf.Dictionary(
            Type=pikepdf.Name.Page,
            MediaBox=pikepdf.Array(list(map(_number, A4))),
            Resources=pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font)),
            Contents=content,
        )
        for key, value in attributes.items():
            page["/" + key] = pikepdf.Array(list(map(_number, value))) if isinstance(value, (list, tuple)) else _number(value)
        pdf.pages.append(pikepdf.Page(pdf.make_indirect(page)))
    return saved(pdf, streams=streams)


def _number(value: object) -> object:
    from decimal import Decimal

    return Decimal(str(value)) if isinstance(value, float) else value


def saved(pdf: pikepdf.Pdf, *, streams: bool = False, **options: object) -> bytes:
    """The file, with classic cross-references or (``streams``) with cross-reference and object streams."""
    mode = pikepdf.ObjectStreamMode.generate if streams else pikepdf.ObjectStreamMode.disable
    out = BytesIO()
    pdf.save(out, object_stream_mode=mode, static_id=True, **options)  # type: ignore[arg-type]
    return out.getvalue()
