"""What a sealed PDF promises, judged by poppler, pyHanko and qpdf."""

from __future__ import annotations

import re
from pathlib import Path

import pikepdf
import pytest

from crypto.suites import RSA_PSS_SHA256, Suite
from formats.pdf.errors import CertifiedAgainstChanges, NoSuchPage, OffThePage, PasswordNeeded
from seals.sealing import CentrePlacement, KeywordNotFound, KeywordPlacement, Placement, SealedPdf, SealingRefused, seal_pdf
from tests import pdf_judges, pdf_samples
from tests.conftest import ROOT
from tests.pdf_pki import NOW, material, pki
from tests.tools.seal_corpus import seal_folder


def seal(data: bytes, placement: object = None, **more: object) -> SealedPdf:
    return seal_pdf(data, material(), placement or Placement(1, 100, 150), when=NOW, **more)  # type: ignore[arg-type]


def assert_sound(tmp_path: Path, before: bytes, sealed: SealedPdf, signatures: int = 1) -> None:
    """Earlier revisions kept, pdfsig and pyHanko content, qpdf finds nothing new."""
    assert sealed.data.startswith(before)
    (tmp_path / "before.pdf").write_bytes(before)
    (tmp_path / "after.pdf").write_bytes(sealed.data)
    assert pdf_judges.pdfsig(tmp_path / "after.pdf") == [True] * signatures
    opinions = pdf_judges.pyhanko(sealed.data, [pki(Suite.RSA).root])
    assert [(o.intact, o.valid, o.trusted, o.changes_allowed) for o in opinions] == [(True, True, True, True)] * signatures
    assert opinions[-1].coverage == "ENTIRE_FILE"
    assert set(pdf_judges.qpdf(tmp_path / "after.pdf")) <= set(pdf_judges.qpdf(tmp_path / "before.pdf"))


@pytest.mark.corpus
@pytest.mark.slow
def test_every_outside_file_is_sealed_soundly_or_refused_by_name(corpus: Path, tmp_path: Path) -> None:
    results = list(seal_folder(corpus / "pdf-plain", tmp_path))
    assert not [result for result in results if result.wrong]
    assert sum(result.outcome.startswith("sealed/") for result in results) >= 58
    assert len(results) == 61


@pytest.mark.parametrize("streams", [False, True], ids=["table", "stream"])
def test_a_seal_is_one_update_in_the_files_own_style(tmp_path: Path, streams: bool) -> None:
    before = pdf_samples.plain(20, streams=streams)
    sealed = seal(before, Placement(20, 100, 150))
    assert sealed.writer == "fast"
    assert_sound(tmp_path, before, sealed)
    update = sealed.data[len(before) :]
    assert (b"/XRef" in update) is streams
    assert update.count(b"%%EOF") == 1


@pytest.mark.parametrize("streams", [False, True], ids=["table", "stream"])
def test_a_second_and_a_third_seal_leave_the_earlier_ones_valid(tmp_path: Path, streams: bool) -> None:
    data = pdf_samples.plain(2, streams=streams)
    for count, page in ((1, 1), (2, 1), (3, 2)):
        sealed = seal(data, Placement(page, 50 * count, 150))
        assert sealed.writer == "fast"
        assert_sound(tmp_path, data, sealed, count)
        data = sealed.data


def test_signature_value_takes_the_room_it_needs_and_little_more() -> None:
    contents = re.search(rb"/Contents<([0-9a-f]*?)(0*)>", seal(pdf_samples.plain()).data)
    assert contents
    assert len(contents.group(2)) / 2 < 100


def test_pss_is_accepted_too(tmp_path: Path) -> None:
    before = pdf_samples.plain()
    sealed = seal_pdf(before, material(Suite.RSA, RSA_PSS_SHA256), CentrePlacement(1), when=NOW)
    opinions = pdf_judges.pyhanko(sealed.data, [pki(Suite.RSA).root])
    assert [(o.intact, o.valid, o.trusted) for o in opinions] == [(True, True, True)]


def test_p256_is_accepted_too(tmp_path: Path) -> None:
    sealed = seal_pdf(pdf_samples.plain(), material(Suite.P256), CentrePlacement(1), when=NOW)
    (tmp_path / "after.pdf").write_bytes(sealed.data)
    assert pdf_judges.pdfsig(tmp_path / "after.pdf") == [True]
    assert [(o.intact, o.valid, o.trusted) for o in pdf_judges.pyhanko(sealed.data, [pki(Suite.P256).root])] == [(True,) * 3]


def test_the_key_is_used_exactly_once() -> None:
    class Counting:
        uses = 0
        public_key = material().signer.public_key

        def sign(self, message: bytes, scheme: object = None) -> bytes:
            self.uses += 1
            return material().signer.sign(message, scheme)  # type: ignore[arg-type]

    import dataclasses

    counting = Counting()
    seal_pdf(pdf_samples.plain(), dataclasses.replace(material(), signer=counting), CentrePlacement(1), when=NOW)
    assert counting.uses == 1


def test_claimed_time_is_in_m_and_not_in_the_signed_attributes() -> None:
    from formats.cms import parse_signed_data

    data = seal(pdf_samples.plain()).data
    assert b"/M(D:%s+00'00')" % NOW.strftime("%Y%m%d%H%M%S").encode() in data
    value = re.search(rb"/Contents<([0-9a-f]+)>", data)
    assert value
    view = parse_signed_data(bytes.fromhex(value.group(1).decode()))
    assert view.signers[0].signing_time is None
    assert view.signers[0].certificate_references


@pytest.mark.parametrize("page", [0, 3, -1, 10**9])
def test_a_page_that_is_not_there_is_named(page: int) -> None:
    with pytest.raises(NoSuchPage):
        seal(pdf_samples.plain(2), Placement(page, 50, 50))


def test_a_place_off_the_page_is_named() -> None:
    with pytest.raises(OffThePage):
        seal(pdf_samples.plain(), Placement(1, 211, 50))


def test_a_document_certified_against_changes_is_refused() -> None:
    pdf = pikepdf.open(__import__("io").BytesIO(pdf_samples.plain()))
    reference = pikepdf.Dictionary(TransformMethod=pikepdf.Name.DocMDP, TransformParams=pikepdf.Dictionary(P=1))
    signature = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.Sig, Reference=pikepdf.Array([reference])))
    pdf.Root.Perms = pikepdf.Dictionary(DocMDP=signature)
    with pytest.raises(CertifiedAgainstChanges):
        seal(pdf_samples.saved(pdf))


def test_a_document_with_a_password_is_refused_and_one_with_an_empty_password_sealed(tmp_path: Path) -> None:
    def encrypted(user: str, **allowed: bool) -> bytes:
        pdf = pikepdf.open(__import__("io").BytesIO(pdf_samples.plain()))
        permissions = pikepdf.Permissions(**allowed)
        return pdf_samples.saved(pdf, encryption=pikepdf.Encryption(owner="owner", user=user, allow=permissions))

    with pytest.raises(PasswordNeeded):
        seal(encrypted("secret"))
    before = encrypted("")
    sealed = seal(before)
    assert sealed.writer == "pyhanko"
    assert_sound(tmp_path, before, sealed)


def test_key_and_format_must_belong_together() -> None:
    with pytest.raises(SealingRefused):
        seal(pdf_samples.plain(), format="gm")
    with pytest.raises(SealingRefused):
        seal(pdf_samples.plain(), level="T")


def test_the_seal_goes_onto_a_keyword(tmp_path: Path) -> None:
    before = pdf_samples.plain(3)
    sealed = seal(before, KeywordPlacement("approval"))
    assert sealed.page == 3
    assert sealed.rect[1] < 700 < sealed.rect[3]
    assert seal(before, KeywordPlacement("approval", 0)).page == 1
    assert seal(before, KeywordPlacement("approval", -1)).page == 3
    with pytest.raises(KeywordNotFound):
        seal(before, KeywordPlacement("盖章处"))
    with pytest.raises(KeywordNotFound):
        seal(before, KeywordPlacement("approval", 3))


def test_of_several_places_with_a_keyword_the_signature_line_is_taken() -> None:
    """The organ's name also stands in the letterhead, in running text and at the foot of the last page."""
    approval = (ROOT / "examples" / "approval.pdf").read_bytes()
    sealed = seal(approval, KeywordPlacement("云江市行政审批局"))
    left, bottom, right, top = sealed.rect
    assert sealed.page == 2
    assert 380 < (left + right) / 2 < 460
    assert 330 < (bottom + top) / 2 < 370
