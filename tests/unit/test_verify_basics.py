"""Small promises of the verifier: total, named, worst counts, policy read strictly."""

from __future__ import annotations

import io
import re
import zipfile

import pytest

from policies import verification
from policies.verification import Level, PolicyUnreadable
from verify import judge, reasons
from verify.pdf import split_der
from verify.schemas import VerificationContext, exit_status
from verify.service import verify_bytes
from verify.trust import TrustStore

CONTEXT = VerificationContext(trust=TrustStore())
MEMBERS = {"file", "verdict", "sub_indication", "answer", "reasons", "signatures", "licence", "trust", "engine"}


def _zip(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"\x00" * 100, "not-a-document"),
        (b"hello", "not-a-document"),
        (b"\x89PNG\r\n\x1a\n....", "picture-damaged"),
        (b"\xff\xd8\xff\xe0....", "picture-damaged"),
        (b"GIF89a....", "picture"),
        (b"%PDF-1.7\n", "damaged"),
        (b"%PDF-1.7\n%%EOF\n" + b"<<" * 50_000, "damaged"),
        (b"PK\x03\x04 not really", "damaged"),
        (_zip("OFD.xml", b"<ofd/>"), "ofd-not-supported-yet"),
        (_zip("bomb", b"\x00" * 20_000_000), "archive"),
    ],
)
def test_any_bytes_get_a_named_verdict(data: bytes, code: str) -> None:
    verdict = verify_bytes(data, name="x", context=CONTEXT)
    assert set(verdict) == MEMBERS
    assert verdict["verdict"] == "UNREADABLE"
    assert [r["code"] for r in verdict["reasons"]] == [code]
    assert verdict["answer"]["decision"] == "check"
    assert verdict["answer"]["next_step_zh"]


def test_worst_of_several_files_counts() -> None:
    def fake(verdict: str, decision: str) -> dict[str, object]:
        return {"verdict": verdict, "answer": {"decision": decision}}

    passed, doubt = fake("TOTAL-PASSED", "accept"), fake("INDETERMINATE", "check")
    none, unreadable, failed = fake("NO-SIGNATURE", "check"), fake("UNREADABLE", "check"), fake("TOTAL-FAILED", "refuse")
    assert exit_status([passed]) == 0
    assert exit_status([passed, doubt]) == 10
    assert exit_status([doubt, none, passed]) == 30
    assert exit_status([none, unreadable]) == 40
    assert exit_status([unreadable, failed]) == 20
    assert exit_status([passed, unreadable], decide=True) == 10
    assert exit_status([failed, passed], decide=True) == 20


def test_every_reason_speaks_both_languages_with_the_same_blanks() -> None:
    for code, (english, chinese) in reasons._SENTENCES.items():
        # "matter_zh" is what "matter" is called in Chinese.
        blanks = [{name.removesuffix("_zh") for name in re.findall(r"{(\w+)}", text)} for text in (english, chinese)]
        assert blanks[0] == blanks[1], code
        assert re.search("[一-鿿]", chinese), code


def test_every_check_of_the_policy_has_a_consequence_and_a_sentence() -> None:
    policy = verification.load()
    known = reasons.codes()
    aliases = {"key-usage", "basic-constraints", "revocation-missing-ca", "signature-removed"}
    assert {c for c in policy.checks if c not in known} <= aliases
    assert {c for c in policy.checks if c not in judge.CONSEQUENCES} <= aliases


def test_a_check_that_the_policy_does_not_name_fails() -> None:
    assert verification.load().level("no-such-check") is Level.FAIL


def test_a_policy_with_a_typing_error_is_refused() -> None:
    text = verification.DEFAULT_FILE.read_text("utf-8")
    with pytest.raises(PolicyUnreadable):
        verification.parse(text.replace('"FAIL"', '"FIAL"', 1))
    with pytest.raises(PolicyUnreadable):
        verification.parse("name = 3")


def test_text_from_hostile_files_cannot_steer_a_terminal() -> None:
    found = reasons.reason("signature-empty", field="a\x1b[31m\nb" + "x" * 1000)
    assert "\x1b" not in found.message
    assert "\n" not in found.message
    assert len(found.message) < 400


def test_padding_is_what_follows_the_first_value() -> None:
    assert split_der(bytes.fromhex("3003020105") + b"\x00" * 5) == (bytes.fromhex("3003020105"), b"\x00" * 5)
    assert split_der(b"\x30\x84\xff\xff\xff\xff") == (b"\x30\x84\xff\xff\xff\xff", b"")


def test_revocation_answers_inside_the_signed_attributes_are_found() -> None:
    """RevocationInfoArchival as Acrobat writes it: crl [0], ocsp [1]."""
    from crypto.suites import Suite
    from tests.verify_world import World
    from verify.evidence import _archival

    world = World(Suite.P256)
    ocsp, crl = world.ocsp_for(world.seal), world.crl_for(world.seal)
    assert ocsp is not None
    assert crl is not None

    def element(tag: int, body: bytes) -> bytes:
        return bytes([tag, 0x83]) + len(body).to_bytes(3, "big") + body

    value = element(0x30, element(0xA0, element(0x30, crl)) + element(0xA1, element(0x30, ocsp)))
    assert _archival(value) == [crl, ocsp]
    assert _archival(b"\x30\x03\x02\x01") == []
    assert _archival(b"junk") == []
    assert _archival(b"") == []
