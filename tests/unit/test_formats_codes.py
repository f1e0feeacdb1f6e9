"""Codes: read back from print, confirmed by an independent implementation, bounded against hostile input."""

from __future__ import annotations

import base64
import io
import random
import zlib
from datetime import UTC, datetime

import cbor2
import cwt
import pytest
import segno
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.codes import BadCode, Claims, SignedCode, decode, encode, key_id

KEY = SoftwareKey.generate(Suite.P256)
CLAIMS = Claims(
    issuer="云江市市场监督管理局",
    subject="1.2.156.3005.2.11100000MB0143028R001.11310000MB2F30000X.0000000001.001.7",
    licence_type="营业执照",
    holder="云江市青禾信息科技有限公司",
    number="91310000MA1FL00000",
    issued=datetime(2026, 11, 21, 8, tzinfo=UTC),
    token_id=bytes(range(8)),
    expires=datetime(2046, 11, 21, tzinfo=UTC),
    sample=True,
)
URL = encode(CLAIMS, KEY, "yunjiang.example")


def test_a_code_comes_back_as_it_was_signed() -> None:
    code = decode(URL)
    assert code.claims == CLAIMS
    assert code.host == "yunjiang.example"
    assert code.kid == key_id(KEY.public_key)
    assert code.verify(KEY.public_key)
    assert len(URL) <= 900


def test_another_key_does_not_verify_it() -> None:
    assert not decode(URL).verify(SoftwareKey.generate(Suite.P256).public_key)
    assert not decode(URL).verify(SoftwareKey.generate(Suite.RSA).public_key)


def test_an_independent_cwt_implementation_accepts_the_code() -> None:
    raw = zlib.decompress(base64.urlsafe_b64decode(URL.split("#")[1] + "=="))
    from cryptography.hazmat.primitives import serialization

    spki = serialization.load_der_public_key(KEY.public_key.spki)
    pem = spki.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = cwt.decode(raw, keys=cwt.COSEKey.from_pem(pem, kid=key_id(KEY.public_key)))
    assert claims[1] == CLAIMS.issuer
    assert claims[2] == CLAIMS.subject
    with pytest.raises(cwt.VerifyError):
        cwt.decode(raw[:-1] + bytes([raw[-1] ^ 1]), keys=cwt.COSEKey.from_pem(pem, kid=key_id(KEY.public_key)))


def test_codes_of_an_independent_implementation_are_read_only_when_they_are_ours() -> None:
    foreign = base64.urlsafe_b64encode(zlib.compress(cbor2.dumps(cbor2.CBORTag(18, [b"", {}, b"", b"\0" * 64])))).rstrip(b"=")
    with pytest.raises(BadCode):
        decode(f"https://yunjiang.example/v#{foreign.decode()}")


@given(st.integers(0, 8 * 400 - 1))
def test_no_changed_bit_verifies(bit: int) -> None:
    raw = bytearray(zlib.decompress(base64.urlsafe_b64decode(URL.split("#")[1] + "==")))
    bit %= len(raw) * 8
    raw[bit // 8] ^= 1 << bit % 8
    changed = base64.urlsafe_b64encode(zlib.compress(bytes(raw))).rstrip(b"=").decode()
    try:
        code: SignedCode | None = decode(f"https://yunjiang.example/v#{changed}")
    except BadCode:
        code = None
    assert code is None or not code.verify(KEY.public_key)


def _url(raw: bytes) -> str:
    return "https://h.example/v#" + base64.urlsafe_b64encode(zlib.compress(raw, 9)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "url",
    [
        _url(b"\0" * 100_000_000)[:4096],
        _url(b"\0" * 3_000_000),
        _url(b"\x81" * 4000),
        _url(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
        _url(b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"),
        _url(b"\xc5\x82\x1a\x7f\xff\xff\xff\x01"),  # 2^2147483647 for readers that know bigfloats
        _url(b"\xd8\x3d\xd2\x84\x40\xa0\x40\x58\x40" + b"\0" * 64),
        _url(b"\xbf\xff"),
        _url(b""),
        "http://yunjiang.example/v#" + URL.split("#")[1],
        "https://yunjiang.example@evil.example/v#" + URL.split("#")[1],
        "https://yunjiang.example/v#",
        URL + "A" * 5000,
        "https://yunjiang.example/v#" + "!" * 20,
        "https://[::1]/v#" + URL.split("#")[1],
    ],
    ids=range(15),
)
def test_hostile_codes_are_refused_with_one_named_error(url: str) -> None:
    with pytest.raises(BadCode):
        decode(url)


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(raw: bytes) -> None:
    with pytest.raises(BadCode):
        decode(_url(raw))


def test_plain_http_is_for_this_machine_only() -> None:
    assert encode(CLAIMS, KEY, "310000.localhost:8080").startswith("http://310000.localhost:8080/v#")
    with pytest.raises(BadCode):
        encode(CLAIMS, KEY, "evil.example/x")
    with pytest.raises(BadCode):
        encode(CLAIMS, SoftwareKey.generate(Suite.RSA), "yunjiang.example")


def _printed(dpi: int, side_mm: float = 28) -> Image.Image:
    out = io.BytesIO()
    qr = segno.make(URL, error="m", micro=False)
    qr.save(out, kind="png", scale=12, border=4)
    side = round(side_mm / 25.4 * dpi)
    return Image.open(io.BytesIO(out.getvalue())).convert("L").resize((side, side), Image.Resampling.LANCZOS)


def test_a_printed_code_reads_at_300_dpi() -> None:
    page = Image.new("L", (1200, 900), 255)
    page.paste(_printed(300), (500, 300))
    assert [r.text for r in zxingcpp.read_barcodes(page)] == [URL]


def test_a_photographed_code_reads_turned_and_noisy_at_150_dpi() -> None:
    page = Image.new("L", (700, 600), 245)
    page.paste(_printed(150, 36), (200, 150))
    page = page.rotate(11, resample=Image.Resampling.BICUBIC, fillcolor=245).filter(ImageFilter.GaussianBlur(0.6))
    dice = random.Random(5)
    noisy = bytes(max(0, min(255, round(v + dice.gauss(0, 14)))) for v in page.tobytes())
    assert [r.text for r in zxingcpp.read_barcodes(Image.frombytes("L", page.size, noisy))] == [URL]
