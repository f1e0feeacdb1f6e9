"""Levels B-T, B-LT and B-LTA in every suite: judged offline from what the document itself carries."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pikepdf
import pytest

from crypto.errors import Unavailable
from crypto.suites import DigestAlgorithm, Suite
from formats.cms import SignedDataView, parse_signed_data
from formats.crl import RevocationList
from formats.ocsp import OcspResponse
from formats.tsp import TimestampRefused
from formats.x509 import Certificate
from seals.sealing import NoEvidence, Placement, SealedPdf, seal_pdf
from tests import pdf_judges, pdf_samples
from tests.pdf_pki import NOW, Revocation, Tsa, material, pki


def seal(suite: Suite, level: str, data: bytes | None = None, **more: object) -> SealedPdf:
    p = pki(suite)
    sources = {"timestamps": Tsa(p), "revocation": Revocation(p), **more}
    return seal_pdf(
        data or pdf_samples.plain(2),
        material(suite),
        Placement(2, 100, 150),
        when=NOW,
        level=level,
        **sources,  # type: ignore[arg-type]
    )


def values(data: bytes) -> list[tuple[SignedDataView, list[bytes]]]:
    """Each signature value in the file with the bytes it covers."""
    found = []
    for match in re.finditer(rb"/ByteRange\[(\d+) (\d+) (\d+) (\d+) *\]/Contents<([0-9a-f]+)>", data):
        a, b, c, d = (int(match.group(i)) for i in range(1, 5))
        found.append((parse_signed_data(bytes.fromhex(match.group(5).decode())), [data[a : a + b], data[c : c + d]]))
    return found


def token_of(view: SignedDataView) -> SignedDataView:
    (token,) = view.signers[0].timestamp_tokens
    return parse_signed_data(token)


def stored(data: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
    with pikepdf.open(BytesIO(data)) as pdf:
        dss = pdf.Root.DSS
        return tuple([item.read_bytes() for item in dss.get(key, [])] for key in ("/Certs", "/OCSPs", "/CRLs"))  # type: ignore[return-value]


@pytest.mark.parametrize("suite", [Suite.RSA, Suite.P256])
def test_b_lta_is_valid_offline_from_its_own_store_now_and_in_years(suite: Suite, tmp_path: Path) -> None:
    sealed = seal(suite, "LTA")
    assert pdf_judges.pyhanko_lta(sealed.data, [pki(suite).root]) == ("PASSED", "OK")
    assert pdf_judges.pyhanko_lta(sealed.data, [pki(suite).root], years_later=8) == ("PASSED", "OK")
    (tmp_path / "after.pdf").write_bytes(sealed.data)
    assert pdf_judges.pdfsig(tmp_path / "after.pdf") == [True]
    assert pdf_judges.qpdf(tmp_path / "after.pdf") == []
    assert sealed.data.count(b"%%EOF") == 3  # the document, the seal, the store with the document timestamp


def test_without_a_store_pyhanko_is_not_content() -> None:
    """The check above can fail: at level T it does."""
    assert pdf_judges.pyhanko_lta(seal(Suite.RSA, "T").data, [pki(Suite.RSA).root])[0] != "PASSED"


@pytest.mark.parametrize("level", ["B", "T", "LT", "LTA"])
@pytest.mark.parametrize("format", ["gm", "gm35275"])
def test_sm2_has_the_same_levels_with_sm3_throughout(format: str, level: str) -> None:
    p = pki(Suite.SM2)
    data = seal(Suite.SM2, level, format=format).data
    assert b"/SubFilter/ETSI.CAdES.detached" in data
    view, covered = values(data)[0]
    assert view.gm35275 is (format == "gm35275")
    assert view.signers[0].digest is DigestAlgorithm.SM3
    assert view.signers[0].check(p.seal, covered).intact
    if level != "B":
        token = token_of(view)
        assert token.signers[0].digest is DigestAlgorithm.SM3
        assert token.signers[0].check(p.tsa, [token.content or b""]).intact
    if level in ("LT", "LTA"):
        certificates, ocsps, crls = stored(data)
        assert {Certificate.parse(der) for der in certificates} == {p.seal, p.tsa, p.ca, p.root, p.ocsp}
        answers = [OcspResponse.parse(der) for der in ocsps]
        assert all(answer.is_signed_by(p.ocsp.public_key) for answer in answers)
        assert {answer.answers[0].cert_id.serial for answer in answers} == {p.seal.serial, p.tsa.serial}
        assert [RevocationList.parse(der).is_signed_by(p.root.public_key) for der in crls] == [True]
    if level == "LTA":
        stamp, covered = values(data)[1]
        assert sum(map(len, covered)) + len(data[len(covered[0]) : -len(covered[1])]) == len(data)
        assert stamp.signers[0].check(p.tsa, [stamp.content or b""]).intact


def test_a_second_seal_at_lta_keeps_the_first_ones_store_and_validity() -> None:
    first = seal(Suite.RSA, "LTA")
    second = seal(Suite.RSA, "LTA", first.data)
    assert second.data.startswith(first.data)
    certificates, ocsps, crls = stored(second.data)
    assert len(set(certificates)) == len(certificates) == 5
    assert len(set(ocsps)) == len(ocsps)
    assert len(crls) == 1
    opinions = pdf_judges.pyhanko(second.data, [pki(Suite.RSA).root])
    assert [(o.intact, o.valid, o.trusted, o.changes_allowed) for o in opinions] == [(True,) * 4] * 2
    assert pdf_judges.pyhanko_lta(second.data, [pki(Suite.RSA).root]) == ("PASSED", "OK")


def test_a_timestamp_service_that_is_down_is_noticed_before_the_key_is_used() -> None:
    class Down:
        def timestamp_token(self, digest_alg: object, digest: bytes) -> bytes:
            raise Unavailable("The timestamp service does not answer; try again.", "时间戳服务无应答；请重试。")

    class Untouched:
        public_key = material().signer.public_key

        def sign(self, message: bytes, scheme: object = None) -> bytes:
            raise AssertionError("the key was used")

    import dataclasses

    with pytest.raises(Unavailable):
        seal_pdf(
            pdf_samples.plain(),
            dataclasses.replace(material(), signer=Untouched()),
            Placement(1, 50, 50),
            when=NOW,
            level="T",
            timestamps=Down(),
        )


def test_a_timestamp_over_something_else_never_goes_in() -> None:
    class Careless(Tsa):
        def timestamp_token(self, digest_alg: DigestAlgorithm, digest: bytes) -> bytes:
            return super().timestamp_token(digest_alg, bytes(32))

    with pytest.raises(TimestampRefused):
        seal(Suite.RSA, "T", timestamps=Careless(pki(Suite.RSA)))


def test_the_timestamp_service_is_asked_once_more_than_needed_and_only_once_a_minute() -> None:
    tsa = Tsa(pki(Suite.RSA))
    for _ in range(3):
        seal(Suite.RSA, "LTA", timestamps=tsa)
    assert tsa.asked == 1 + 3 * 2


def test_a_certificate_without_any_revocation_answer_is_named() -> None:
    class Nothing:
        def ocsp_for(self, cert: Certificate) -> None:
            return None

        crl_for = ocsp_for

    with pytest.raises(NoEvidence):
        seal(Suite.RSA, "LT", revocation=Nothing())


def test_an_encrypted_document_reaches_lta_through_pyhanko() -> None:
    pdf = pikepdf.open(BytesIO(pdf_samples.plain(2)))
    before = pdf_samples.saved(pdf, encryption=pikepdf.Encryption(owner="owner", user=""))
    sealed = seal(Suite.RSA, "LTA", before)
    assert sealed.writer == "pyhanko"
    assert sealed.data.startswith(before)
    assert [(o.intact, o.valid, o.trusted) for o in pdf_judges.pyhanko(sealed.data, [pki(Suite.RSA).root])] == [(True,) * 3]
    assert all(len(kind) for kind in stored(sealed.data))
