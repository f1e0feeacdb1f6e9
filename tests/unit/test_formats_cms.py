"""CMS and GB/T 35275: what is built can be read by others, and nothing that was changed verifies."""

from __future__ import annotations

import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import tsp as _tsp  # noqa: F401 - registers signing-certificate-v2
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import der, keys
from crypto.errors import XinyinError
from crypto.suites import (
    ECDSA_P256_SHA256,
    RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384,
    RSA_PSS_SHA256,
    RSA_PSS_SHA384,
    SM2_SM3,
    Scheme,
    Suite,
)
from formats import ber, cms
from formats.asn1 import MalformedDer
from tests.material import Holder, holder

CONTENT = b"the bytes that the byte range names" * 20
PSS = ["-keyopt", "rsa_padding_mode:pss"]
SCHEMES = [RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384, ECDSA_P256_SHA256, SM2_SM3]


def sign(
    who: Holder, scheme: Scheme, *, gm35275: bool = False, content: bytes = CONTENT, attached: bool = False, **rest: object
) -> bytes:
    attributes = cms.signed_attributes(
        content_digest=keys.digest(scheme.digest, content),
        digest=scheme.digest,
        signing_certificate=who.certificate,
        gm35275=gm35275,
        **rest,  # type: ignore[arg-type]
    )
    return cms.signed_data(
        signed_attrs=attributes,
        signature=who.key.sign(attributes, scheme),
        scheme=scheme,
        certificates=[who.certificate, *who.chain],
        gm35275=gm35275,
        content=content if attached else None,
    )


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_signed_data_round_trips_and_binds_content_and_certificate(scheme: Scheme) -> None:
    who = holder(scheme.suite)
    view = cms.parse_signed_data(sign(who, scheme) + b"\0" * 100)
    (signer,) = view.signers
    assert (view.gm35275, view.version, view.content, view.padding_is_clean) == (False, 1, None, True)
    assert (signer.scheme, signer.algorithm, signer.digest) == (scheme, scheme.name, scheme.digest)
    assert view.certificate_of(signer) == who.certificate
    assert set(view.certificates) == {who.certificate, *who.chain}
    check = signer.check(who.certificate, (CONTENT[:7], memoryview(CONTENT)[7:]))
    assert check == cms.SignerCheck(True, True, True, True)
    assert check.intact
    assert not signer.check(who.certificate, (CONTENT + b"x",)).intact
    other = holder(scheme.suite, "样本 另一人")
    assert signer.check(other.certificate, (CONTENT,)) == cms.SignerCheck(
        True, False, False, True, ("signing-certificate-mismatch",)
    )


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_built_structures_are_der_to_asn1crypto(scheme: Scheme) -> None:
    encoded = sign(holder(scheme.suite), scheme, signing_time=datetime(2026, 11, 21, 8, 0, tzinfo=UTC))
    info = asn1_cms.ContentInfo.load(encoded, strict=True)
    signer = info["content"]["signer_infos"][0]
    assert signer["digest_algorithm"]["algorithm"].native == scheme.digest.value
    assert [a["type"].native for a in signer["signed_attrs"]].count("signing_certificate_v2") == 1
    assert ber.first_element(encoded) == (encoded, len(encoded))


def test_hash_algorithm_of_the_certificate_reference_is_left_out_only_for_sha256() -> None:
    for scheme, expected in ((RSA_PKCS1_SHA256, None), (RSA_PKCS1_SHA384, "sha384"), (SM2_SM3, "sm3")):
        encoded = sign(holder(scheme.suite), scheme)
        attributes = asn1_cms.ContentInfo.load(encoded)["content"]["signer_infos"][0]["signed_attrs"]
        (value,) = [a["values"][0] for a in attributes if a["type"].native == "signing_certificate_v2"]
        raw = value["certs"][0].dump()
        first = der.children(raw, der.read(raw))[0]
        assert (first.tag == der.OCTET_STRING) is (expected is None)
        assert value["certs"][0]["hash_algorithm"]["algorithm"].native == (expected or "sha256")


def test_gbt35275_identifiers_when_asked_for() -> None:
    who = holder(Suite.SM2)
    encoded = sign(who, SM2_SM3, gm35275=True)
    view = cms.parse_signed_data(encoded)
    assert view.gm35275
    assert (view.content_type, view.signers[0].signed_content_type) == (cms.GM_DATA, cms.GM_DATA)
    assert der.oid("1.2.156.10197.1.301.1") in encoded
    assert view.signers[0].check(who.certificate, (CONTENT,)).intact


@pytest.mark.parametrize("scheme", [RSA_PKCS1_SHA256, RSA_PSS_SHA256, ECDSA_P256_SHA256], ids=lambda s: s.name)
def test_openssl_verifies_ours(tmp_path: Path, scheme: Scheme) -> None:
    who = holder(scheme.suite)
    (tmp_path / "cms").write_bytes(sign(who, scheme))
    (tmp_path / "content").write_bytes(CONTENT)
    (tmp_path / "root.pem").write_text(who.chain[0].pem())
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", "cms", "-content", "content", "-binary",
         "-CAfile", "root.pem", "-purpose", "any", "-out", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "CAdES Verification successful" in done.stderr, done.stderr


@pytest.mark.parametrize("gm35275", [False, True])
def test_openssl_confirms_our_sm2_values_over_the_attributes_in_the_file(tmp_path: Path, gm35275: bool) -> None:
    """``openssl cms`` cannot be given the user ID (facts of OpenSSL 3.0), ``openssl dgst`` can."""
    who = holder(Suite.SM2)
    (signer,) = cms.parse_signed_data(sign(who, SM2_SM3, gm35275=gm35275)).signers
    assert signer.signed_attrs is not None
    (tmp_path / "attributes").write_bytes(signer.signed_attrs)
    (tmp_path / "value").write_bytes(signer.signature)
    (tmp_path / "key").write_bytes(who.certificate.spki)
    done = subprocess.run(
        ["openssl", "dgst", "-sm3", "-sigopt", "distid:1234567812345678", "-keyform", "DER", "-verify", "key",
         "-signature", "value", "attributes"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Verified OK" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "options",
    [
        [], PSS, [*PSS, "-keyopt", "rsa_pss_saltlen:digest"], ["-noattr"], ["-cades"], ["-stream", "-nodetach"], ["-keyid"],
        ["-md", "sha1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_openssl_signatures_are_read(tmp_path: Path, options: list[str]) -> None:
    """Also without attributes, streamed in indefinite lengths, and by key identifier.

    SHA-1 and a salt of the greatest length (OpenSSL's habit) are computed, but are no algorithms of our suites.
    """
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "c", "-subj", "/CN=sample"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "content").write_bytes(CONTENT)
    subprocess.run(
        ["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-in", "content", "-signer", "c", "-inkey", "k",
        "-out", "s", *options], cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    view = cms.parse_signed_data((tmp_path / "s").read_bytes())
    (signer,) = view.signers
    certificate = view.certificate_of(signer)
    assert certificate is not None
    if "-nodetach" in options:
        assert view.content == CONTENT
    check = signer.check(certificate, (CONTENT,))
    assert check.intact
    assert check.accepted_algorithm is ("sha1" not in options and options != PSS)
    assert not signer.check(certificate, (CONTENT, b"\0")).intact


def test_attribute_order_of_the_file_is_what_was_signed() -> None:
    """A signer that neither sorts nor expects sorting, and one that signs sorted attributes but stores them otherwise."""
    who = holder(Suite.P256)
    attributes = cms.signed_attributes(
        content_digest=keys.digest(ECDSA_P256_SHA256.digest, CONTENT), digest=ECDSA_P256_SHA256.digest,
        signing_certificate=who.certificate
    )  # fmt: skip
    parts = [attributes[c.start : c.end] for c in der.children(attributes, der.read(attributes))]
    backwards = der.tlv(der.SET, b"".join(reversed(parts)))
    assert backwards != attributes
    for signed in (backwards, attributes):
        encoded = cms.signed_data(
            signed_attrs=backwards, signature=who.key.sign(signed), scheme=ECDSA_P256_SHA256, certificates=[who.certificate]
        )
        assert cms.parse_signed_data(encoded).signers[0].check(who.certificate, (CONTENT,)).intact


def test_repeated_attribute_and_wrong_content_type_do_not_verify() -> None:
    who = holder(Suite.P256)
    digest = keys.digest(ECDSA_P256_SHA256.digest, CONTENT)
    twice = sign(who, ECDSA_P256_SHA256, extra=[cms.attribute(cms.MESSAGE_DIGEST, der.octet_string(b"\0" * 32))])
    other = sign(who, ECDSA_P256_SHA256, content_type=cms.TST_INFO)
    assert digest in twice
    for encoded, problem in ((twice, f"attribute-repeated:{cms.MESSAGE_DIGEST}"), (other, "content-type-mismatch")):
        check = cms.parse_signed_data(encoded).signers[0].check(who.certificate, (CONTENT,))
        assert not check.intact
        assert problem in check.problems


def test_raw_sm2_signature_values_are_read() -> None:
    from crypto import sm2

    who = holder(Suite.SM2)
    attributes = cms.signed_attributes(
        content_digest=keys.digest(SM2_SM3.digest, CONTENT), digest=SM2_SM3.digest, signing_certificate=who.certificate
    )
    raw = sm2.der_to_raw(who.key.sign(attributes))
    encoded = cms.signed_data(signed_attrs=attributes, signature=raw, scheme=SM2_SM3, certificates=[who.certificate])
    assert cms.parse_signed_data(encoded).signers[0].check(who.certificate, (CONTENT,)).intact


@pytest.mark.parametrize("scheme", [RSA_PKCS1_SHA256, SM2_SM3], ids=lambda s: s.name)
def test_any_damage_gives_a_view_or_a_named_error_and_never_a_valid_other_content(scheme: Scheme) -> None:
    who = holder(scheme.suite)
    good = sign(who, scheme, attached=True)
    chance = random.Random(20261121)
    for _ in range(1500):
        damaged = bytearray(good)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            kind = chance.random()
            place = chance.randrange(len(damaged))
            if kind < 0.7:
                damaged[place] ^= 1 << chance.randrange(8)
            elif kind < 0.85:
                del damaged[place : place + chance.randrange(1, 20)]
            else:
                damaged[place:place] = chance.randbytes(chance.randrange(1, 9))
        try:
            view = cms.parse_signed_data(bytes(damaged))
            for signer in view.signers:
                certificate = view.certificate_of(signer)
                check = signer.check(certificate or who.certificate, (view.content or b"",))
                if check.intact and (certificate or who.certificate) == who.certificate:
                    assert view.content == CONTENT
        except XinyinError:
            continue


@pytest.mark.corpus
def test_signatures_of_real_pdfs_are_read(corpus: Path) -> None:
    """Every CMS in the signed samples gives a view or a named error; those that others find intact are intact in arithmetic."""
    import re

    read = 0
    for path in sorted((corpus / "pdf-signed").glob("*.pdf")):
        for found in re.finditer(rb"/Contents\s*<([0-9A-Fa-f\s]{200,})>", path.read_bytes()):
            digits = b"".join(found.group(1).split())
            try:
                view = cms.parse_signed_data(bytes.fromhex(digits[: len(digits) & ~1].decode()))
            except XinyinError:
                continue
            for signer in view.signers:
                certificate = view.certificate_of(signer)
                if certificate is not None and signer.signed_attrs is not None:
                    value, _ = signer._value_holds(certificate, signer.signed_attrs)
                    assert value is not None, (path.name, signer.algorithm)
                    read += 1
    assert read >= 40


@settings(max_examples=400)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_by_name(data: bytes) -> None:
    """Also wrapped so that the outer layers are right: indefinite lengths, deep nesting, absurd integers."""
    for candidate in (
        data,
        der.sequence(der.oid(cms.SIGNED_DATA), der.tlv(0xA0, data)),
        der.sequence(der.oid(cms.SIGNED_DATA), der.tlv(0xA0, der.sequence(b"\x02\x01\x01", data))),
        b"\x30\x80" + data + b"\0\0",
        b"\x30\x80" * 500 + data,
    ):
        with pytest.raises(MalformedDer):
            cms.parse_signed_data(candidate)


def test_numbers_too_long_to_print_are_refused() -> None:
    encoded = sign(holder(Suite.P256), ECDSA_P256_SHA256)
    serial = der.integer(holder(Suite.P256).certificate.serial)
    issuer = holder(Suite.P256).certificate.issuer_der
    assert issuer + serial in encoded
    grown = asn1_cms.ContentInfo.load(encoded)
    signer = grown["content"]["signer_infos"][0]
    signer["sid"] = asn1_cms.SignerIdentifier(
        "issuer_and_serial_number", {"issuer": signer["sid"].chosen["issuer"], "serial_number": 1 << 20000}
    )
    with pytest.raises(MalformedDer):
        cms.parse_signed_data(grown.dump(force=True))
