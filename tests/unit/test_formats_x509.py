"""Certificates: what is built reads back, what is damaged is refused by name, signatures count over the original bytes."""

from __future__ import annotations

import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509 as pyca

from crypto.errors import XinyinError
from crypto.keys import SoftwareKey
from crypto.suites import RSA_PSS_SHA256, Suite
from formats.asn1 import MalformedDer
from formats.x509 import Certificate, CertificateSpec, NameRefused, Subject, build_certificate

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SUITES = list(Suite)


def make_root(key: SoftwareKey, **changes: object) -> Certificate:
    spec = CertificateSpec(
        Subject("样本根 CA", "样本机构"),
        key.public_key,
        2**150 + 5,
        NOW,
        NOW + timedelta(days=9000),
        is_ca=True,
        path_len=1,
        key_usage=["keyCertSign", "cRLSign"],
    )
    return build_certificate(CertificateSpec(**{**spec.__dict__, **changes}), key)  # type: ignore[arg-type]


def make_leaf(key: SoftwareKey, root: Certificate, root_key: SoftwareKey) -> Certificate:
    spec = CertificateSpec(
        Subject("样本公章", '样本,云江市 "市场"', "一处", "91310000MA1FL0000X", "上海市", "浦东新区"),
        key.public_key,
        2**150 + 7,
        NOW,
        NOW + timedelta(days=900),
        issuer=root,
        key_usage=["digitalSignature", "nonRepudiation"],
        policies=["2.25.31013451988677632587949467029706391618"],
        ocsp_urls=["http://310000.localhost:8080/ocsp"],
        ca_issuer_urls=["http://310000.localhost:8080/ca/x.crt"],
        crl_urls=["http://310000.localhost:8080/crl/x.crl"],
        es_id="31000000000001",
    )
    return build_certificate(spec, root_key)


@pytest.fixture(scope="module", params=SUITES, ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[SoftwareKey, Certificate, SoftwareKey, Certificate]:
    root_key, leaf_key = SoftwareKey.generate(request.param), SoftwareKey.generate(request.param)
    root = make_root(root_key)
    return root_key, root, leaf_key, make_leaf(leaf_key, root, root_key)


def test_what_was_put_in_reads_back(pair: tuple[SoftwareKey, Certificate, SoftwareKey, Certificate]) -> None:
    root_key, root, leaf_key, leaf = pair
    leaf.check()
    assert leaf.subject == (
        'CN=样本公章,OU=一处,organizationIdentifier=91310000MA1FL0000X,O=样本\\,云江市 \\"市场\\",L=浦东新区,ST=上海市,C=CN'
    )
    assert leaf.issuer == "CN=样本根 CA,O=样本机构,C=CN"
    assert leaf.issuer_der == root.subject_der
    assert leaf.serial == 2**150 + 7
    assert leaf.serial_hex == "40000000000000000000000000000000000007"
    assert (leaf.not_before, leaf.not_after) == (NOW, NOW + timedelta(days=900))
    assert root.not_after.year == 2051  # a GeneralizedTime, past 2049
    assert leaf.public_key == leaf_key.public_key
    assert leaf.es_id == "31000000000001"
    assert leaf.key_usage == {"digitalSignature", "nonRepudiation"}
    assert leaf.aki == root.ski
    assert leaf.ocsp_urls == ("http://310000.localhost:8080/ocsp",)
    assert leaf.crl_urls == ("http://310000.localhost:8080/crl/x.crl",)
    assert leaf.ca_issuer_urls == ("http://310000.localhost:8080/ca/x.crt",)
    assert (root.is_ca, root.path_len, leaf.is_ca, leaf.path_len) == (True, 1, False, None)
    assert root.is_self_issued
    assert not leaf.is_self_issued
    assert leaf.unknown_critical == frozenset()
    assert Certificate.parse(leaf.pem().encode()) == leaf
    assert root_key.public_key.suite is leaf_key.public_key.suite


def test_signature_counts_only_under_the_issuers_key(
    pair: tuple[SoftwareKey, Certificate, SoftwareKey, Certificate],
) -> None:
    root_key, root, leaf_key, leaf = pair
    assert root.is_signed_by(root_key.public_key)
    assert leaf.is_signed_by(root.public_key)
    assert not leaf.is_signed_by(leaf_key.public_key)
    for other in SUITES:
        assert not leaf.is_signed_by(SoftwareKey.generate(other).public_key)


def test_no_single_changed_byte_keeps_a_certificate_signed(
    pair: tuple[SoftwareKey, Certificate, SoftwareKey, Certificate],
) -> None:
    _, root, _, leaf = pair
    rng = random.Random(310000)
    refused = survived = 0  # a named refusal is the other right answer
    for _ in range(300):
        changed = bytearray(leaf.der)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        try:
            assert not Certificate.parse(bytes(changed)).check().is_signed_by(root.public_key)
        except XinyinError as exc:
            refused += bool(exc.message and exc.message_zh)
            continue
        survived += 1
    assert refused + survived == 300


def test_random_bytes_and_cut_certificates_are_refused_by_name(
    pair: tuple[SoftwareKey, Certificate, SoftwareKey, Certificate],
) -> None:
    leaf = pair[3]
    rng = random.Random(7)
    inputs = [b"", b"0", b"0\x80\0\0", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", b"0" * 400]
    inputs += [leaf.der + b"\0", leaf.der[:-1], b"\x30\x83\xff\xff\xff" * 30, b"\x30\x82\x01\x00" * 300]
    inputs += [leaf.der[:n] for n in range(0, len(leaf.der), 37)]
    inputs += [rng.randbytes(rng.randrange(200)) for _ in range(200)]
    for data in inputs:
        with pytest.raises(MalformedDer):
            Certificate.parse(data)


def test_deep_nesting_is_refused_without_recursion() -> None:
    bomb = b""
    for _ in range(3000):
        size = len(bomb)
        bomb = b"\x30" + (bytes([size]) if size < 128 else b"\x83" + size.to_bytes(3, "big")) + bomb
    with pytest.raises(MalformedDer, match="damaged"):
        Certificate.parse(bomb)


def test_a_doubled_extension_is_refused() -> None:
    from asn1crypto import core
    from asn1crypto import x509 as ax

    key = SoftwareKey.generate(Suite.P256)
    twice = ax.Extension({"extn_id": "es_id", "extn_value": core.ParsableOctetString(core.IA5String("1").dump())})
    certificate = make_root(key, extra=[twice], es_id="2")
    with pytest.raises(MalformedDer) as refusal:
        _ = certificate.es_id
    assert "twice" in refusal.value.detail["reason"]


def test_an_unknown_critical_extension_is_named() -> None:
    from asn1crypto import core
    from asn1crypto import x509 as ax

    odd = ax.Extension({"extn_id": "1.2.3.4", "critical": True, "extn_value": core.ParsableOctetString(b"\5\0")})
    assert make_root(SoftwareKey.generate(Suite.P256), extra=[odd]).unknown_critical == {"1.2.3.4"}


def test_pss_is_read_and_checked() -> None:
    key = SoftwareKey.generate(Suite.RSA)
    spec = CertificateSpec(
        Subject("样本 PSS"), key.public_key, 99, NOW, NOW + timedelta(days=1), key_usage=["digitalSignature"]
    )
    certificate = build_certificate(spec, key, RSA_PSS_SHA256)
    assert certificate.signature_scheme == RSA_PSS_SHA256
    assert certificate.is_signed_by(key.public_key)


@pytest.mark.parametrize("text", ["", " ", "x" * 65, "行\n行", " 样本", "a\u202eb"])
def test_names_that_could_mislead_are_refused(text: str) -> None:
    with pytest.raises(NameRefused):
        Subject(text).name()


def test_a_subject_is_read_back_from_what_was_built_of_it(
    pair: tuple[SoftwareKey, Certificate, SoftwareKey, Certificate],
) -> None:
    for certificate in (pair[1], pair[3]):
        assert Subject.of(certificate).name().dump() == certificate.subject_der


@pytest.mark.corpus
def test_a_name_with_other_parts_is_not_taken_for_one_of_ours(corpus: Path) -> None:
    with pytest.raises(NameRefused):
        Subject.of(Certificate.parse((corpus / "gm" / "sm2-cert.pem").read_bytes()))  # has an emailAddress


def test_pyca_reads_what_we_build(pair: tuple[SoftwareKey, Certificate, SoftwareKey, Certificate]) -> None:
    read = pyca.load_der_x509_certificate(pair[3].der)
    assert read.serial_number == pair[3].serial
    assert len(list(read.extensions)) == 8


def test_openssl_verifies_what_we_build(
    pair: tuple[SoftwareKey, Certificate, SoftwareKey, Certificate], tmp_path: Path
) -> None:
    root_key, root, _, leaf = pair
    (tmp_path / "root.pem").write_text(root.pem())
    (tmp_path / "leaf.pem").write_text(leaf.pem())
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()) + 60)]
    if root_key.suite is Suite.SM2:  # link by link: OpenSSL 3.0 forgets the ID from depth 1 on
        command += ["-partial_chain", "-vfyopt", "distid:1234567812345678"]
    done = subprocess.run([*command, "-trusted", "root.pem", "leaf.pem"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "leaf.pem: OK\n"), done.stderr


@pytest.mark.corpus
def test_foreign_sm2_certificates_read_and_verify(corpus: Path) -> None:
    gm = corpus / "gm"
    root, sub = Certificate.parse_many((gm / "chain-ca.crt").read_bytes())
    if not root.is_self_issued:
        root, sub = sub, root
    assert sub.is_signed_by(root.public_key)
    for name in ("client_sign", "client_enc", "server_sign", "server_enc", "server_sign_expire"):
        leaf = Certificate.parse((gm / f"{name}.crt").read_bytes()).check()
        assert leaf.public_key.suite is Suite.SM2
        assert leaf.is_signed_by(sub.public_key), name
        assert not leaf.is_signed_by(root.public_key), name
    assert Certificate.parse((gm / "server_sign_expire.crt").read_bytes()).not_after < NOW
    expected = Certificate.parse((gm / "sm2-root-cert.pem").read_bytes())
    assert Certificate.parse((gm / "sm2-cert.pem").read_bytes()).is_signed_by(expected.public_key)
    issuers = Certificate.parse_many((gm / "sm2-chain-ca.crt").read_bytes())
    assert any(Certificate.parse((gm / "sm2-leaf.crt").read_bytes()).is_signed_by(c.public_key) for c in issuers)


@pytest.mark.corpus
def test_sm2_certificates_signed_without_z_are_refused(corpus: Path) -> None:
    root = Certificate.parse((corpus / "gm" / "sm2-noza-root-cert.pem").read_bytes()).check()
    leaf = Certificate.parse((corpus / "gm" / "sm2-noza-cert.pem").read_bytes()).check()
    assert not root.is_signed_by(root.public_key)
    assert not leaf.is_signed_by(root.public_key)
