"""CRL, OCSP and PKCS#10: what is built reads back and OpenSSL accepts it; damaged bytes are refused by name."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto.errors import XinyinError
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import ocsp, pkcs10
from formats.crl import REASONS, CrlSpec, RevocationList, RevokedEntry, build_crl
from formats.x509 import EKU_OCSP_SIGNING, Certificate, CertificateSpec, Subject, build_certificate

NOW = datetime.now(UTC).replace(microsecond=0)
URL = "http://310000.localhost/crl/x.crl"


@dataclass
class Pki:
    key: SoftwareKey
    ca: Certificate
    delegate_key: SoftwareKey
    delegate: Certificate
    leaf: Certificate

    def certificate(self, key: SoftwareKey, serial: int, **more: object) -> Certificate:
        fields = {"issuer": self.ca, "key_usage": ["digitalSignature"], "crl_urls": [URL], **more}
        spec = CertificateSpec(Subject(f"样本 {serial}"), key.public_key, serial, NOW, NOW + timedelta(days=9), **fields)  # type: ignore[arg-type]
        return build_certificate(spec, self.key)


@pytest.fixture(scope="module", params=list(Suite), ids=str)
def pki(request: pytest.FixtureRequest) -> Pki:
    key, delegate_key = SoftwareKey.generate(request.param), SoftwareKey.generate(request.param)
    usage = ["keyCertSign", "cRLSign"]
    spec = CertificateSpec(
        Subject("样本 CA"), key.public_key, 1, NOW, NOW + timedelta(days=90), is_ca=True, path_len=0, key_usage=usage
    )
    ca = build_certificate(spec, key)
    made = Pki(key, ca, delegate_key, ca, ca)
    made.delegate = made.certificate(delegate_key, 2, extended_key_usage=[EKU_OCSP_SIGNING], ocsp_nocheck=True)
    made.leaf = made.certificate(SoftwareKey.generate(request.param), 2**159 - 1)
    return made


def test_crl_reads_back_and_counts_only_under_its_key(pki: Pki) -> None:
    entries = [RevokedEntry(2**159 - 1, NOW, "keyCompromise", NOW - timedelta(days=1)), RevokedEntry(127, NOW)]
    entries += [RevokedEntry(1000 + i, NOW, reason) for i, reason in enumerate(REASONS)] + [RevokedEntry(128, NOW)]
    der = build_crl(CrlSpec(pki.ca, 7, NOW, NOW + timedelta(days=7), entries, url=URL, users_only=True), pki.key)
    crl = RevocationList.parse(der).check()
    assert list(crl.entries()) == entries
    assert [crl.entry(e.serial) for e in entries] == entries
    assert crl.entry(126) is None
    assert (crl.number, crl.this_update, crl.next_update) == (7, NOW, NOW + timedelta(days=7))
    assert crl.aki == pki.ca.ski
    assert crl.is_signed_by(pki.key.public_key)
    assert not crl.is_signed_by(pki.delegate_key.public_key)
    assert crl.covers(pki.leaf)
    assert not crl.covers(pki.ca)  # users only


def test_an_empty_crl_has_no_list(pki: Pki) -> None:
    crl = RevocationList.parse(build_crl(CrlSpec(pki.ca, 1, NOW, NOW + timedelta(days=7)), pki.key)).check()
    assert len(crl) == 0
    assert crl.entry(5) is None


def test_a_crl_for_cas_says_nothing_of_a_leaf(pki: Pki) -> None:
    der = build_crl(CrlSpec(pki.ca, 1, NOW, NOW + timedelta(days=7), cas_only=True), pki.key)
    assert not RevocationList.parse(der).covers(pki.leaf)


def test_ocsp_answer_reads_back_with_its_delegated_signer(pki: Pki) -> None:
    told = [
        ocsp.Answer(ocsp.CertId.of(pki.leaf, pki.ca, h), "revoked", NOW, NOW + timedelta(days=3), NOW, "certificateHold")
        for h in ocsp.HASHES
    ]
    der = ocsp.build_response(told, pki.delegate_key, pki.delegate, produced_at=NOW, nonce=b"n" * 16)
    response = ocsp.OcspResponse.parse(der)
    assert list(response.answers) == told
    assert response.answer_for(pki.leaf, pki.ca) == told[0]
    assert response.answer_for(pki.delegate, pki.ca) is None
    assert response.signer(pki.ca) == pki.delegate
    assert response.nonce == b"n" * 16
    assert ocsp.OcspResponse.from_basic(response.basic).der == der


def test_a_certificate_without_ocsp_signing_cannot_answer(pki: Pki) -> None:
    impostor_key = SoftwareKey.generate(pki.key.suite)
    impostor = pki.certificate(impostor_key, 77)
    told = ocsp.Answer(ocsp.CertId.of(pki.leaf, pki.ca), "good", NOW)
    der = ocsp.build_response([told], impostor_key, impostor, produced_at=NOW)
    assert ocsp.OcspResponse.parse(der).signer(pki.ca) is None


def test_a_delegate_of_another_ca_cannot_answer(pki: Pki) -> None:
    other_key = SoftwareKey.generate(pki.key.suite)
    spec = CertificateSpec(
        Subject("样本 CA"), other_key.public_key, 1, NOW, NOW + timedelta(days=9), is_ca=True, key_usage=["keyCertSign"]
    )
    other = build_certificate(spec, other_key)  # same name, another key
    told = ocsp.Answer(ocsp.CertId.of(pki.leaf, pki.ca), "good", NOW)
    der = ocsp.build_response([told], pki.delegate_key, pki.delegate, produced_at=NOW)
    assert ocsp.OcspResponse.parse(der).signer(other) is None


def test_ocsp_errors_and_requests_read_back(pki: Pki) -> None:
    for status in ("malformed_request", "internal_error", "try_later", "sign_required", "unauthorized"):
        assert ocsp.OcspResponse.parse(ocsp.error_response(status)).status == status
    request = ocsp.OcspRequest.parse(ocsp.build_request(pki.leaf, pki.ca, nonce=b"1" * 32, algorithm="sha256"))
    assert request.nonce == b"1" * 32
    assert request.cert_ids[0].is_for(pki.leaf, pki.ca)
    assert not request.cert_ids[0].is_for(pki.delegate, pki.ca)


def test_certification_request_proves_possession(pki: Pki) -> None:
    der = pkcs10.build_request(Subject("样本章", "样本局"), pki.delegate_key, usages=["digitalSignature"], es_id="31")
    request = pkcs10.CertificationRequest.parse(der)
    assert (request.subject, request.public_key) == ("CN=样本章,O=样本局,C=CN", pki.delegate_key.public_key)
    assert request.is_self_signed
    forged = der[:-1] + bytes([der[-1] ^ 1])
    assert not pkcs10.CertificationRequest.parse(forged).is_self_signed


@pytest.mark.parametrize(
    "parse", [RevocationList.parse, ocsp.OcspResponse.parse, ocsp.OcspRequest.parse, pkcs10.CertificationRequest.parse]
)
def test_damaged_bytes_give_named_refusals_only(pki: Pki, parse: Callable[[bytes], object]) -> None:
    entries = [RevokedEntry(i, NOW, "keyCompromise", NOW) for i in range(1, 4)]
    told = ocsp.Answer(ocsp.CertId.of(pki.leaf, pki.ca), "revoked", NOW, NOW, NOW, "superseded")
    seeds = [
        build_crl(CrlSpec(pki.ca, 1, NOW, NOW, entries, url=URL), pki.key),
        ocsp.build_response([told], pki.delegate_key, pki.delegate, produced_at=NOW),
        ocsp.build_request(pki.leaf, pki.ca, nonce=b"1" * 16),
        pkcs10.build_request(Subject("样本"), pki.key, es_id="1"),
    ]
    rng = random.Random(5)
    for seed in seeds:
        for _ in range(120):
            data = bytearray(seed)
            data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
            try:
                made = parse(bytes(data[: rng.choice((len(data), rng.randrange(len(data))))]))
                if isinstance(made, RevocationList):
                    list(made.check().entries())
                    made.is_signed_by(pki.ca.public_key)
                if isinstance(made, ocsp.OcspResponse) and made.status == "successful":
                    made.signer(pki.ca)
            except XinyinError as exc:
                refusal = exc.to_dict()
                if not (refusal["message"] and refusal["message_zh"]):
                    pytest.fail("a refusal without words")


def test_openssl_accepts_them(pki: Pki, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    (tmp_path / "ca.pem").write_text(pki.ca.pem())
    crl = build_crl(CrlSpec(pki.ca, 1, NOW, NOW + timedelta(days=1), [RevokedEntry(9, NOW, "superseded")], url=URL), pki.key)
    (tmp_path / "crl.der").write_bytes(crl)
    told = ocsp.Answer(ocsp.CertId.of(pki.leaf, pki.ca), "good", NOW, NOW + timedelta(days=1))
    (tmp_path / "ocsp.der").write_bytes(ocsp.build_response([told], pki.delegate_key, pki.delegate, produced_at=NOW))
    (tmp_path / "request.der").write_bytes(pkcs10.build_request(Subject("样本"), pki.key, usages=["digitalSignature"]))
    assert "Superseded" in run("openssl", "crl", "-in", "crl.der", "-inform", "der", "-noout", "-text")
    if pki.key.suite is Suite.SM2:  # neither command of OpenSSL 3.0 can be given the SM2 ID
        run("openssl", "req", "-in", "request.der", "-inform", "der", "-noout", "-verify", "-vfyopt", "distid:1234567812345678")
        return
    assert "verify OK" in run("openssl", "crl", "-in", "crl.der", "-inform", "der", "-noout", "-CAfile", "ca.pem")
    assert "Response verify OK" in run("openssl", "ocsp", "-respin", "ocsp.der", "-CAfile", "ca.pem")
    assert "verify OK" in run("openssl", "req", "-in", "request.der", "-inform", "der", "-noout", "-verify")
