"""Pictures of licences: the code is found whichever way up and however grainy, bombs are refused, the rest proves nothing."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import segno
from PIL import Image, ImageChops

from crypto.keys import PublicKey, SoftwareKey
from crypto.suites import Suite
from formats.codes import Claims, encode
from formats.jose import public_jwk
from tests.verify_world import World
from trust.schemas import ListContent, TrustedEntity
from trust.service import sign_list
from verify import pictures
from verify.schemas import LicenceStatus, VerificationContext
from verify.service import verify_bytes
from verify.trust import ServiceType, TrustedService, TrustStore, read_list
from verify.worker import IsolatedVerifier

NOW = datetime.now(UTC).replace(microsecond=0)
KEY, LIST_KEY = SoftwareKey.generate(Suite.P256), SoftwareKey.generate(Suite.P256)
CLAIMS = Claims(
    issuer="云江市市场监督管理局",
    subject="1.2.156.3005.2.11100000MB0143028R001.11310000MB2F30000X.0000000001.001.7",
    licence_type="营业执照",
    holder="云江市青禾信息科技有限公司（样本）",
    number="91310000MA1FL00000",
    issued=NOW - timedelta(days=3),
    token_id=bytes(range(8)),
    sample=True,
)
URL = encode(CLAIMS, KEY, "yunjiang.example")


class Register:
    """A register that knows the licence to be in force."""

    def status(self, identifier: str, at: datetime) -> LicenceStatus | None:
        return LicenceStatus(identifier, "营业执照", "in-force", region="310000")


def context() -> VerificationContext:
    jwk = public_jwk(PublicKey.from_spki(KEY.public_key.spki))
    issuer = TrustedService(ServiceType.LICENCE_ISSUER, CLAIMS.issuer, "310000", jwk=jwk, since=NOW - timedelta(days=30))
    content = ListContent(
        "310000", "上海市（样本）", 1, NOW, NOW + timedelta(days=9), [TrustedEntity("样本", [issuer])], ("yunjiang.example",)
    )
    store = TrustStore([read_list(sign_list(content, LIST_KEY), [LIST_KEY.public_key.fingerprint])])
    return VerificationContext(trust=store, licences=Register())


def page(*texts: str, dpi: int = 150, side_mm: float = 32) -> Image.Image:
    """An A4 page with codes on it, as a scanner sees it."""
    sheet = Image.new("L", (round(8.27 * dpi), round(11.69 * dpi)), 250)
    side = round(side_mm / 25.4 * dpi)
    for at, text in enumerate(texts):
        drawn = io.BytesIO()
        segno.make(text, error="m", micro=False).save(drawn, kind="png", scale=8, border=4)
        code = Image.open(drawn).convert("L").resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(code, (sheet.width - side - 80, 80 + at * (side + 80)))
    return sheet


def saved(image: Image.Image, kind: str = "JPEG", **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def turned(image: Image.Image, angle: float) -> Image.Image:
    return image.rotate(angle, expand=True, fillcolor=200, resample=Image.Resampling.BICUBIC)


def grainy(image: Image.Image, sigma: float) -> Image.Image:
    return ImageChops.add(image, Image.effect_noise(image.size, sigma), scale=1, offset=-128)


def verified(image: Image.Image, kind: str = "JPEG") -> dict[str, Any]:
    return verify_bytes(saved(image, kind), name="photo", context=context())


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_a_picture_of_a_licence_gives_the_verdict_of_its_code(kind: str) -> None:
    verdict = verify_bytes(saved(page(URL), kind), name="IMG_1.jpg", context=context())
    assert verdict["answer"]["decision"] == "accept", verdict["answer"]
    assert verdict["licence"]["number"] == CLAIMS.number
    digest = hashlib.sha256(URL.encode()).hexdigest()
    assert verdict["read_from"] == {"kind": "picture", "file": "IMG_1.jpg", "codes": 1, "sha256": digest}


@pytest.mark.parametrize("angle", [0, 90, 180, 271, 8, 33, 45])
@pytest.mark.parametrize("sigma", [15, 30])
def test_the_code_is_read_turned_and_grainy_at_150_dpi(angle: float, sigma: float) -> None:
    random.seed(angle)
    assert verified(grainy(turned(page(URL), angle), sigma))["verdict"] == "TOTAL-PASSED"


def test_the_code_is_read_from_a_scan_that_is_a_pdf() -> None:
    scan = saved(grainy(turned(page(URL), 2), 12).convert("RGB"), "PDF", resolution=150)
    verdict = verify_bytes(scan, name="scan.pdf", context=context())
    assert (verdict["verdict"], verdict["read_from"]["kind"]) == ("TOTAL-PASSED", "scan")


def test_an_altered_code_in_a_picture_is_not_accepted() -> None:
    forged = encode(replace(CLAIMS, holder="冒名公司"), SoftwareKey.generate(Suite.P256), "yunjiang.example")
    verdict = verified(page(forged))
    assert verdict["answer"]["decision"] != "accept"


def test_of_several_licences_in_one_picture_none_is_accepted_unlooked() -> None:
    other = encode(replace(CLAIMS, token_id=b"another1"), KEY, "yunjiang.example")
    verdict = verified(page(URL, other))
    assert verdict["answer"]["decision"] == "check"
    assert "picture-several-codes" in [r["code"] for r in verdict["reasons"]]
    assert verified(page(URL, URL))["answer"]["decision"] == "accept"  # the same one twice is one


def test_a_code_that_leads_elsewhere_is_named_and_not_followed() -> None:
    verdict = verified(page("https://licence-check.example.net/q?id=1"))
    assert [r["code"] for r in verdict["reasons"]] == ["picture-other-code"]


def test_a_picture_without_a_code_proves_nothing() -> None:
    verdict = verified(page())
    assert [r["code"] for r in verdict["reasons"]] == ["picture"]
    assert verdict["answer"]["decision"] == "check"


def _png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _hostile() -> Iterator[tuple[bytes, str]]:
    yield _png(60_000, 60_000, zlib.compress(b"\0" * 1_000_000)), "picture-too-large"
    yield _png(100, 100, b"not deflate"), "picture-damaged"
    yield saved(page(URL))[:2000], "picture-damaged"
    yield b"\xff\xd8\xff\xe0" + b"\0" * 500, "picture-damaged"
    yield b"RIFF\x10\0\0\0WEBPVP8 " + b"\xff" * 64, "picture-damaged"
    yield saved(Image.new("L", (40, 40), 128), "GIF"), "picture"
    yield b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200, "picture-heic"


@pytest.mark.parametrize(("data", "code"), list(_hostile()), ids=lambda value: value if isinstance(value, str) else "")
def test_bombs_and_ruins_are_refused_before_they_are_unpacked(data: bytes, code: str) -> None:
    started = time.monotonic()
    verdict = verify_bytes(data, name="x", context=context())
    assert ([r["code"] for r in verdict["reasons"]], verdict["verdict"]) == ([code], "UNREADABLE")
    assert time.monotonic() - started < 3


def test_a_camera_frame_without_a_code_costs_one_look() -> None:
    frame = saved(grainy(Image.new("L", (1280, 960), 128), 20), quality=70)
    glancing = replace(context(), glance=True)
    verify_bytes(frame, name="frame", context=glancing)
    started = time.process_time()
    assert verify_bytes(frame, name="frame", context=glancing)["verdict"] == "UNREADABLE"
    assert time.process_time() - started < 1


def test_pictures_are_read_in_the_confined_process() -> None:
    """Pillow and zxing work within its limits: no files, 2 GiB of address space."""
    verifier = IsolatedVerifier(1)
    try:
        verdict = verifier.verify(saved(turned(page(URL, dpi=300), 30)), name="photo", context=context())
        assert verdict["answer"]["decision"] == "accept"
        largest = saved(Image.new("L", (8000, 8000), 200), quality=50)
        assert verifier.verify(largest, name="photo", context=context())["reasons"][0]["code"] == "picture"
    finally:
        verifier.close()


def test_a_sealed_document_is_never_judged_by_a_code_in_it() -> None:
    world = World(Suite.P256)
    verdict = verify_bytes(world.sealed("B"), name="a.pdf", context=world.context())
    assert "read_from" not in verdict
