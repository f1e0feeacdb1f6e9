"""Seals and seal signatures: what we make reads back and verifies, real vendors' files too, and damage shows."""

from __future__ import annotations

import random
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto import keys, sm2
from crypto.errors import XinyinError
from crypto.suites import DigestAlgorithm, Suite, default_scheme
from formats import ses
from formats.asn1 import MalformedDer
from tests.material import holder

CREATED = datetime(2026, 11, 21, tzinfo=UTC)
UNTIL = datetime(2031, 11, 21, tzinfo=UTC)
PICTURE = ses.SealPicture("png", b"\x89PNG picture", 42, 42)
DOCUMENT = b"<Signature/>"


def make_seal(suite: Suite = Suite.SM2, *, version: int = 4, timestamp: bytes | None = None) -> bytes:
    maker, user = holder(suite, "样本 制章人"), holder(suite)
    info = ses.SealInfo(
        es_id="31000000000001", name="云江市市场监督管理局（样本）", kind=1, certificates=[user.certificate.der],
        created=CREATED, valid_from=CREATED, valid_to=UNTIL, picture=PICTURE,
        extensions=[ses.ExtensionData("1.2.156.3005.99.2", False, b"region 310000")],
    )  # fmt: skip
    return ses.build_seal(ses.build_seal_info(info, version=version), maker.key, maker.certificate, timestamp=timestamp)


def make_signature(suite: Suite = Suite.SM2, *, version: int = 4, timestamp: bytes | None = None) -> bytes:
    user, scheme = holder(suite), default_scheme(suite)
    tbs = ses.build_tbs_sign(
        seal=make_seal(suite, version=version), when=CREATED, data_hash=keys.digest(scheme.digest, DOCUMENT),
        property_info="/Doc_0/Signs/Sign_0/Signature.xml", version=version,
        extensions=[ses.ExtensionData("1.2.156.3005.99.3", True, b"x")] if version == 5 else (),
    )  # fmt: skip
    return ses.build_signature(tbs, user.key.sign(tbs, scheme), user.certificate, scheme, timestamp=timestamp)


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("version", [4, 5])
def test_seal_reads_back_as_made(suite: Suite, version: int) -> None:
    encoded = make_seal(suite, version=version, timestamp=b"\1\2\3" if version == 5 else None)
    seal = ses.parse_seal(encoded)
    assert (seal.der, seal.version, seal.layout) == (encoded, version, ses.Layout.GBT_38540_2020)
    assert (seal.es_id, seal.name, seal.kind) == ("31000000000001", "云江市市场监督管理局（样本）", 1)
    assert (seal.created, seal.valid_from, seal.valid_to) == (CREATED, CREATED, UNTIL)
    assert seal.picture == PICTURE
    assert seal.extensions == (ses.ExtensionData("1.2.156.3005.99.2", False, b"region 310000"),)
    assert seal.timestamp == (b"\1\2\3" if version == 5 else None)
    assert seal.maker_signature_holds()
    assert seal.lists(holder(suite).certificate.der)
    assert not seal.lists(holder(suite, "样本 制章人").certificate.der)


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("version", [4, 5])
def test_signature_covers_document_and_seal(suite: Suite, version: int) -> None:
    read = ses.parse_signature(make_signature(suite, version=version, timestamp=b"\1\2\3") + bytes(50))
    assert read.seal == ses.parse_seal(read.seal.der)
    assert (read.claimed_time, read.property_info) == (CREATED, "/Doc_0/Signs/Sign_0/Signature.xml")
    assert (read.version, read.timestamp, len(read.extensions)) == (version, b"\1\2\3", version - 4)
    assert read.check((DOCUMENT[:4], DOCUMENT[4:])) == ses.SealSignatureCheck(True, True, True, True)
    assert not read.check((DOCUMENT, b" ")).intact


def test_trailing_bytes_and_wrong_structures_are_refused() -> None:
    for data in (b"", b"\x30\x00", make_seal() + b"x", b"\x30\x80" + make_seal(), make_signature()[:-1], bytes(100)):
        with pytest.raises(MalformedDer):
            ses.parse_signature(data)
    with pytest.raises(MalformedDer):
        ses.parse_seal(make_signature())


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "layout", "version", "holds"),
    [
        ("UserV1.esl", ses.Layout.GMT_0031_2014, 1, True),
        ("UserV4.esl", ses.Layout.GBT_38540_2020, 4, True),
        ("UserV5.esl", ses.Layout.GBT_38540_2020, 5, True),
        ("UserV5_ts.esl", ses.Layout.GBT_38540_2020, 5, True),
        ("SESealData.DER", ses.Layout.GBT_38540_2020, 4, False),
    ],
)
def test_real_seals_of_three_generations(corpus: Path, name: str, layout: ses.Layout, version: int, holds: bool) -> None:
    seal = ses.parse_seal((corpus / "ofd" / name).read_bytes())
    assert (seal.layout, seal.version, seal.maker_signature_holds()) == (layout, version, holds)
    assert seal.certificates
    assert seal.picture.data
    assert len(seal.extensions) == (3 if name == "SESealData.DER" else 0)


@pytest.mark.corpus
def test_real_signature_alone(corpus: Path) -> None:
    read = ses.parse_signature((corpus / "ofd" / "SignedValueV4.dat").read_bytes())
    assert read.data_hash == bytes(32)
    assert read.check((b"anything",)) == ses.SealSignatureCheck(False, True, True, True)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name", ["v4signed.ofd", "发票示例.ofd", "SESV4SignDoc.ofd", "V4RideRight.ofd", "999.ofd", "金格信创自动盖章.ofd"]
)
def test_real_ofd_signatures_verify(corpus: Path, name: str) -> None:
    """In 发票示例.ofd a document file was altered, not Signature.xml: its seal signature still verifies."""
    with zipfile.ZipFile(corpus / "ofd" / name) as package:
        folder = "Doc_0/Signs/Sign_0/"
        read = ses.parse_signature(package.read(folder + "SignedValue.dat"))
        assert read.check((package.read(folder + "Signature.xml"),)) == ses.SealSignatureCheck(True, True, True, True)
        if folder + "Seal.esl" in package.namelist():
            assert package.read(folder + "Seal.esl") == read.seal.der
    assert (read.layout is ses.Layout.GMT_0031_2014) is (name == "金格信创自动盖章.ofd")


@pytest.mark.corpus
def test_damaged_real_seals_give_named_errors_or_do_not_verify(corpus: Path) -> None:
    """One changed byte of a real SES_Signature is found by a named error or by one of its four checks, wherever it sits.

    The changed bytes of the signers' certificates may leave a readable certificate: then it is not the listed one.
    """
    with zipfile.ZipFile(corpus / "ofd" / "999.ofd") as package:
        good = package.read("Doc_0/Signs/Sign_0/SignedValue.dat")
        document = package.read("Doc_0/Signs/Sign_0/Signature.xml")
    chance = random.Random(38540)
    for _ in range(500):
        damaged = bytearray(good)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        try:
            check = ses.parse_signature(bytes(damaged)).check((document,))
        except XinyinError:
            continue
        if all((check.hash_matches, check.signature_valid, check.seal_signature_valid, check.signer_listed)):
            # Only an encoding of the very same numbers may pass: read leniently, judged by value.
            first, second = ses.parse_signature(good), ses.parse_signature(bytes(damaged))
            assert sm2.normalise_signature(first.signature) == sm2.normalise_signature(second.signature)
            assert (first.tbs, first.certificate_der) == (second.tbs, second.certificate_der)


def test_random_structures_are_refused_in_bounded_time() -> None:
    chance = random.Random(31)
    deep = b""
    for _ in range(3000):
        deep = b"\x30\x80" + deep
    for data in [deep, b"\x30\x84\xff\xff\xff\xff" + bytes(9)] + [chance.randbytes(chance.randrange(200)) for _ in range(500)]:
        with pytest.raises(MalformedDer):
            ses.parse_signature(data)


def test_sm3_is_the_hash_of_sm2_seals() -> None:
    read = ses.parse_signature(make_signature())
    assert read.data_hash == keys.digest(DigestAlgorithm.SM3, DOCUMENT)
