"""A document before it is sealed: pages as pictures, the place of the seal, what is pointed out; by a bounded process."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pytest
from PIL import Image

from crypto.errors import BadInput
from formats.pdf import NoSuchPage, NotAPdf, PasswordNeeded, PdfFile
from formats.pdf.errors import OutsideCommonCase, PdfProblem
from formats.pdf.geometry import displayed_size_mm
from seals.inspection import CannotBeShown, Inspection, Inspector
from tests.documents import ORGAN, office_document
from tests.pdf_samples import plain, saved

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    made = Inspector()
    yield made
    made.close()


def look(inspector: Inspector, data: bytes) -> Inspection:
    return inspector.inspect(hashlib.sha256(data).hexdigest(), lambda: data)


def draw(inspector: Inspector, data: bytes, page: int = 1, size: str = "page") -> Image.Image:
    return Image.open(io.BytesIO(inspector.draw(hashlib.sha256(data).hexdigest(), lambda: data, page, size)))


def codes(found: Inspection) -> list[str]:
    return [one.code for one in found.findings]


def test_the_seal_is_proposed_over_organ_and_date(inspector: Inspector) -> None:
    found = look(inspector, (EXAMPLES / "approval.pdf").read_bytes())
    assert codes(found) == []
    place = found.default_placement(ORGAN, 42, 42)
    assert (place.page, place.x_mm) == (2, pytest.approx(137.1, abs=0.5))
    name, date = 171.4, 181.6  # as pdftotext -bbox has the middles of the two lines
    assert name < place.y_mm + 21 - 5, "the seal reaches over the date"
    assert date < place.y_mm + 21
    assert place.y_mm < (name + date) / 2, "organ and date lie a little below its middle"


def test_of_several_organs_the_seal_goes_to_its_own(inspector: Inspector) -> None:
    both = office_document(after="#v(20mm) 云江市卫生健康委员会 \\ 2026 年 11 月 20 日", organ=ORGAN)
    found = look(inspector, both)
    assert [p.name for p in found.places] == [ORGAN, "云江市卫生健康委员会"]
    first, second = (found.default_placement(name, 42, 42) for name in (ORGAN, "云江市卫生健康委员会"))
    assert first.y_mm < second.y_mm
    assert first.x_mm > second.x_mm
    assert found.about_seal(ORGAN, first) == []
    (other,) = found.about_seal("云江市公安局", first)
    assert other.code == "other-organ"
    assert "云江市公安局" in other.message_zh


def test_without_a_signature_line_the_seal_waits_low_on_the_last_page_that_is_not_blank(inspector: Inspector) -> None:
    found = look(inspector, office_document(organ="", date="", after="#pagebreak() #pagebreak() "))
    assert [page.blank for page in found.pages] == [False, True, True]
    assert codes(found) == ["blank-page", "no-signature-line"]
    place = found.default_placement(ORGAN, 42, 42)
    assert place.page == 1
    assert place.y_mm > 297 * 0.6


def test_the_whole_seal_stays_on_a_small_page(inspector: Inspector) -> None:
    found = look(inspector, office_document("短", organ="", date="", width_mm=90, height_mm=60))
    place = found.default_placement(ORGAN, 42, 42)
    assert 21 <= place.x_mm <= 90 - 21
    assert 21 <= place.y_mm <= 60 - 21


def test_blanks_and_placeholders_are_pointed_out_with_their_place(inspector: Inspector) -> None:
    found = look(inspector, office_document("申请人：\\_\\_\\_\\_\\_\\_\\_ \n\n ××市有限公司", date="　　年　　月　　日"))
    assert codes(found) == ["blank", "placeholder", "empty-date"]
    assert all(f.page == 1 and f.box and 25 <= f.box[0] <= 185 for f in found.findings)
    assert found.places[0].kind == "signature-line", "an empty date still shows where the seal goes"


def test_an_empty_form_field_and_a_comment_are_pointed_out(inspector: Inspector) -> None:
    with pikepdf.open(io.BytesIO(plain())) as pdf:
        field = pikepdf.Dictionary(
            Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Widget, FT=pikepdf.Name.Tx, T="姓名", F=4, Rect=[72, 600, 200, 620]
        )
        note = pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Text, Rect=[10, 10, 30, 30], Contents="改一下")
        members = [pdf.make_indirect(field), pdf.make_indirect(note)]
        pdf.pages[0].obj["/Annots"] = pikepdf.Array(members)
        pdf.Root["/AcroForm"] = pikepdf.Dictionary(Fields=pikepdf.Array(members[:1]))
        data = saved(pdf)
    found = {f.code: f for f in look(inspector, data).findings}
    assert {"empty-field", "comments"} <= set(found)
    assert "姓名" in found["empty-field"].message_zh
    assert found["empty-field"].box == pytest.approx((25.4, 78.3, 45.2, 7.06), abs=0.1)


def test_what_forbids_a_seal_is_said_before_anybody_waits_for_it(inspector: Inspector, corpus: Path) -> None:
    found = look(inspector, (corpus / "pdf-signed" / "dss2554-certified-changes-permitted.pdf").read_bytes())
    assert not found.sealable
    assert codes(found)[0] == "pdf-certified-against-changes"
    signed = look(inspector, (corpus / "pdf-signed" / "pades-bes.pdf").read_bytes())
    assert signed.sealable
    assert signed.signatures == 1
    assert "signed-already" in codes(signed)


def test_what_cannot_be_shown_is_refused_by_name(inspector: Inspector) -> None:
    with pytest.raises(NotAPdf):
        look(inspector, b"PK\x03\x04 a zip file")
    with pikepdf.open(io.BytesIO(plain())) as pdf:
        out = io.BytesIO()
        pdf.save(out, encryption=pikepdf.Encryption(user="secret", owner="secret"))
    with pytest.raises(PasswordNeeded):
        look(inspector, out.getvalue())


def test_pictures_have_the_shape_of_the_page_as_displayed(inspector: Inspector) -> None:
    turned = plain(1, Rotate=90, CropBox=[50, 300, 350, 800])
    page = look(inspector, turned).pages[0]
    assert (page.width_mm, page.height_mm) == (pytest.approx(500 / 72 * 25.4), pytest.approx(300 / 72 * 25.4))
    picture = draw(inspector, turned)
    assert picture.width / picture.height == pytest.approx(5 / 3, abs=0.01)
    assert picture.width == pytest.approx(1000, abs=1)
    assert draw(inspector, turned, size="thumb").width == pytest.approx(180, abs=1)
    assert min(picture.convert("L").tobytes()) < 100, "something is drawn"
    with pytest.raises(NoSuchPage):
        draw(inspector, turned, page=2)
    with pytest.raises(BadInput):
        draw(inspector, turned, size="17")


def test_an_earlier_seal_shows_in_the_picture(inspector: Inspector, corpus: Path) -> None:
    signed = (corpus / "pdf-signed" / "TEST_ESTEID2018_PAdES_B_enveloped.pdf").read_bytes()
    assert draw(inspector, signed).size[0] == pytest.approx(1000, abs=1)


def test_units_of_user_space_count(inspector: Inspector) -> None:
    page = look(inspector, plain(1, UserUnit=2.0)).pages[0]
    assert page.width_mm == pytest.approx(420, abs=0.1)


def test_pages_are_as_large_as_sealing_takes_them_to_be(inspector: Inspector, corpus: Path) -> None:
    """The picture is drawn by PDFium, the seal is placed by our own reader: they must mean the same page."""
    compared = 0
    for path in sorted((corpus / "pdf-plain").glob("*.pdf"))[::3]:
        data = path.read_bytes()
        try:
            shown = look(inspector, data).pages
            ours = PdfFile(data)
            sizes = [displayed_size_mm(ours.page(page.number)) for page in shown[:5]]
        except (PdfProblem, CannotBeShown, OutsideCommonCase):
            continue
        for page, size in zip(shown, sizes, strict=False):
            assert (page.width_mm, page.height_mm) == pytest.approx(size, abs=0.05), path.name
            compared += 1
    assert compared > 12


def test_texts_are_found_on_turned_and_cropped_pages(inspector: Inspector) -> None:
    data = plain(2, Rotate=90, CropBox=[50, 100, 500, 800])
    found = inspector.find(hashlib.sha256(data).hexdigest(), lambda: data, "approval")
    assert [one.page for one in found] == [1, 2]
    # Text at y = 700 in user space; turned clockwise the bottom edge is on the left: 600 points from it.
    assert found[0].middle[0] == pytest.approx((700 + 9 - 100) / 72 * 25.4, abs=3)
    assert inspector.find(hashlib.sha256(data).hexdigest(), lambda: data, "nowhere") == []


def test_one_process_a_document_and_no_more_than_are_held(inspector: Inspector) -> None:
    made = Inspector(lanes=1, held=2)
    try:
        for n in range(1, 5):
            look(made, plain(n))
        assert len(made._lanes[0].held) == 2
        assert len({p.process.pid for p in made._lanes[0].held.values()}) == 2
    finally:
        made.close()


def test_a_document_that_takes_its_reader_down_takes_no_other_with_it() -> None:
    made = Inspector(lanes=1, memory_bytes=400 << 20)
    try:
        started = time.monotonic()
        with pytest.raises((CannotBeShown, PdfProblem)):
            draw(made, _inflating_page(600 << 20))
        assert time.monotonic() - started < 60
        assert look(made, plain()).count == 1
    finally:
        made.close()


def test_a_killed_process_is_a_named_error_and_the_next_question_is_answered(inspector: Inspector) -> None:
    made = Inspector(lanes=1)
    try:
        data = plain(3)
        look(made, data)
        (process,) = made._lanes[0].held.values()
        process.process.kill()
        process.process.wait()
        with pytest.raises(CannotBeShown):
            draw(made, data)
        assert draw(made, data).width == pytest.approx(1000, abs=1)
    finally:
        made.close()


def test_a_reader_that_was_taken_over_lies_about_nothing_but_its_own_document(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Inspector(lanes=1)
    try:
        data = plain(2)
        monkeypatch.setattr(
            made, "_ask", lambda *_: ({"pages": [{"width_mm": float("nan"), "height_mm": 1, "blank": 0}]}, b"no")
        )
        with pytest.raises(CannotBeShown):
            look(made, data)
    finally:
        made.close()


def test_many_threads_are_served(inspector: Inspector) -> None:
    documents = [plain(n) for n in (1, 2, 3)]
    found: list[int] = []

    def one(data: bytes) -> None:
        found.append(look(inspector, data).count)
        draw(inspector, data, size="thumb")

    threads = [threading.Thread(target=one, args=(data,)) for data in documents * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_the_reader_is_bounded(inspector: Inspector) -> None:
    made = Inspector(lanes=1)
    try:
        look(made, plain())
        (process,) = made._lanes[0].held.values()
        limits = Path(f"/proc/{process.process.pid}/limits").read_text()
        found = {row[:26].strip(): row[26:].split()[0] for row in limits.splitlines()[1:]}
        assert found["Max file size"] == found["Max core file size"] == "0"
        assert int(found["Max address space"]) < 2 << 30
        assert int(found["Max cpu time"]) <= made.cpu_seconds + 5
        assert os.path.realpath(f"/proc/{process.process.pid}/cwd") == "/"
    finally:
        made.close()


def _inflating_page(size: int) -> bytes:
    """A page whose content inflates to ``size`` bytes."""
    import zlib

    engine = zlib.compressobj(9)
    block = b"0 0 m 1 1 l S " * (1 << 16)
    body = b"".join(engine.compress(block) for _ in range(size // len(block))) + engine.flush()
    with pikepdf.open(io.BytesIO(plain())) as pdf:
        stream = pikepdf.Stream(pdf, b"")
        stream.write(body, filter=pikepdf.Name.FlateDecode)
        pdf.pages[0].obj["/Contents"] = pdf.make_indirect(stream)
        return saved(pdf)
