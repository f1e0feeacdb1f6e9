"""Each way in which a sealed document can be wrong has a reason of its own, and what is right passes: with real certificates,
timestamps, OCSP answers by a delegated responder and CRLs, in RSA and in SM2."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pikepdf
import pytest

from crypto.suites import Suite
from formats.x509 import CertificateSpec, Subject, build_certificate
from tests.pdf_samples import plain
from tests.verify_world import DAY, ES_ID, NOW, World
from verify.schemas import ImpressionStatus, LicenceStatus, Recognition, SealStatus, VerificationContext
from verify.service import verify_bytes
from verify.trust import ServiceType, TrustStore

SUITES = pytest.mark.parametrize("suite", [Suite.RSA, Suite.SM2], ids=str)
_WORLDS: dict[Suite, World] = {}


def fresh(suite: Suite) -> World:
    """The suite's world (keys are made once a run) without anybody's revocations."""
    world = _WORLDS.setdefault(suite, World(suite))
    world.revoked.clear()
    world.clock = NOW
    return world


def judge(document: bytes, context: VerificationContext) -> dict[str, Any]:
    return verify_bytes(document, name="x.pdf", context=context)


def offline(world: World, **more: Any) -> VerificationContext:
    return VerificationContext(trust=world.trust(), offline=True, **more)


def codes(verdict: dict[str, Any]) -> set[str]:
    return {r["code"] for r in verdict["reasons"]}


def outcome(verdict: dict[str, Any]) -> tuple[str, str | None, str]:
    return verdict["verdict"], verdict["sub_indication"], verdict["answer"]["decision"]


PASSED = ("TOTAL-PASSED", None, "accept")


def update(data: bytes, change: Callable[[dict[str, Any]], dict[int, bytes]]) -> bytes:
    """An incremental update by hand: ``change`` gets root, page, … as (number, dictionary) and gives objects to (re)write."""
    pdf = pikepdf.open(io.BytesIO(data))
    size = int(pdf.trailer["/Size"])
    objects = change({"pdf": pdf, "next": size})
    out = bytearray(data)
    places: dict[int, int] = {}
    for number, body in sorted(objects.items()):
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n" + b"".join(b"%d 1\n%010d 00000 n \n" % (n, at) for n, at in places.items())
    previous = int(re.findall(rb"startxref\s+(\d+)", data)[-1])
    root = pdf.Root.objgen[0]
    out += b"trailer\n<</Size %d/Root %d 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n" % (
        max([size, *(n + 1 for n in places)]),
        root,
        previous,
        start,
    )
    return bytes(out)


def rewritten(node: Any, **entries: Any) -> bytes:
    """A dictionary's source with some entries replaced (raw bytes), added, or removed (None)."""
    body = b"".join(
        str(k).encode() + b" " + v.unparse() if isinstance(v, pikepdf.Object) else str(k).encode() + b" " + _scalar(v)
        for k, v in ((k, node.get(k)) for k in node.keys() if k.lstrip("/") not in entries)  # noqa: SIM118
    )
    body += b"".join(b"/" + k.encode() + b" " + v for k, v in entries.items() if v is not None)
    return b"<<" + body + b">>"


def _scalar(value: Any) -> bytes:
    return b"true" if value is True else b"false" if value is False else str(value).encode()


# What is right


@SUITES
@pytest.mark.parametrize("level", ["B", "T", "LT", "LTA"])
def test_a_sealed_document_is_accepted_online(suite: Suite, level: str) -> None:
    world = fresh(suite)
    verdict = judge(world.sealed(level), world.context())
    assert outcome(verdict) == PASSED
    signature = verdict["signatures"][0]
    assert signature["format"].endswith(f"-B-{level}")
    assert (signature["proven_time"] is not None) == (level != "B")
    assert signature["seal"]["id"] == ES_ID
    assert signature["recognition"]["region"] == "310000"
    assert {answer["state"] for answer in (verdict["answer"][k] for k in ("document", "seal"))} == {"ok"}


@SUITES
@pytest.mark.parametrize("level", ["LT", "LTA"])
def test_evidence_inside_the_document_is_enough_offline(suite: Suite, level: str) -> None:
    world = fresh(suite)
    assert outcome(judge(world.sealed(level), offline(world))) == PASSED
    assert outcome(judge(world.sealed(level), VerificationContext(TrustStore(anchors=[world.root]), offline=True))) == PASSED


@SUITES
def test_a_second_seal_leaves_the_first_valid(suite: Suite) -> None:
    world = fresh(suite)
    verdict = judge(world.sealed("B", document=world.sealed("LT"), y_mm=150), world.context())
    assert outcome(verdict) == PASSED
    assert [s["changes_after"] for s in verdict["signatures"]] == ["permitted", "none"]


@SUITES
def test_long_term_levels_outlive_the_certificate(suite: Suite) -> None:
    world = fresh(suite)
    old = world.seal_certificate("old", age=800 * DAY, days=365)
    document = world.sealed("LTA", when=NOW - 700 * DAY, certificate=old, key="old")
    verdict = judge(document, offline(world))
    assert outcome(verdict) == PASSED
    assert "expired-later" in codes(verdict)
    assert verdict["signatures"][0]["proven_time"] is not None


# Tampered and stripped


@SUITES
def test_a_changed_byte_is_a_hash_failure(suite: Suite) -> None:
    world = fresh(suite)
    document = bytearray(world.sealed("B"))
    document[document.index(b"/MediaBox") + 11] ^= 1
    verdict = judge(bytes(document), world.context())
    assert outcome(verdict) == ("TOTAL-FAILED", "HASH_FAILURE", "refuse")
    assert verdict["signatures"][0]["intact"] is False


@SUITES
def test_a_changed_signature_value_is_a_crypto_failure(suite: Suite) -> None:
    world = fresh(suite)
    document = world.sealed("B")
    hole = re.search(rb"/Contents\s*<([0-9a-fA-F]+)>", document)
    assert hole is not None
    der = hole.group(1).rstrip(b"0")
    at = hole.start(1) + len(der) - 20
    forged = document[:at] + (b"1" if document[at : at + 1] != b"1" else b"2") + document[at + 1 :]
    assert outcome(judge(forged, world.context()))[:2] == ("TOTAL-FAILED", "SIG_CRYPTO_FAILURE")


@SUITES
def test_a_document_cut_back_to_before_its_seal_has_no_signature(suite: Suite) -> None:
    world = fresh(suite)
    document = plain(1)
    assert world.sealed("B", document=document).startswith(document)
    verdict = judge(document, world.context())
    assert outcome(verdict) == ("NO-SIGNATURE", None, "check")
    assert codes(verdict) == {"no-signature"}


@SUITES
def test_a_signature_taken_out_by_a_later_revision_is_missed(suite: Suite) -> None:
    world = fresh(suite)
    stripped = update(world.sealed("B"), lambda at: {at["pdf"].Root.objgen[0]: rewritten(at["pdf"].Root, AcroForm=None)})
    verdict = judge(stripped, world.context())
    assert outcome(verdict) == ("NO-SIGNATURE", None, "check")
    assert "signature-removed" in codes(verdict)


@SUITES
def test_evidence_stripped_from_the_end_leaves_a_question(suite: Suite) -> None:
    world = fresh(suite)
    document = world.sealed("LT")
    end = [m.end() for m in re.finditer(rb"%%EOF\n", document)][-2]
    verdict = judge(document[:end], offline(world))
    assert outcome(verdict) == ("INDETERMINATE", "TRY_LATER", "check")
    assert "revocation-missing" in codes(verdict)


@SUITES
def test_evidence_removed_by_an_update_is_said(suite: Suite) -> None:
    world = fresh(suite)
    document = world.sealed("LTA")
    stripped = update(document, lambda at: {at["pdf"].Root.objgen[0]: rewritten(at["pdf"].Root, DSS=None)})
    verdict = judge(stripped, world.context())
    assert "dss-removed" in codes(verdict)
    assert verdict["answer"]["decision"] == "check"


# Strangers


@SUITES
def test_a_foreign_signer_is_named(suite: Suite) -> None:
    world, stranger = fresh(suite), World(suite)
    verdict = judge(stranger.sealed("LTA"), world.context())
    assert outcome(verdict) == ("INDETERMINATE", "NO_CERTIFICATE_CHAIN_FOUND", "check")
    assert "foreign-signer" in codes(verdict)
    assert verdict["signatures"][0]["intact"] is True
    assert verdict["signatures"][0]["recognition"] is None


def test_a_self_made_certificate_is_told_from_a_foreign_one() -> None:
    world = fresh(Suite.RSA)
    key = world.key("forger")
    subject = Subject("云江市市场监督管理局", organization="样本")
    spec = CertificateSpec(
        subject, key.public_key, 5, NOW - DAY, NOW + 100 * DAY, key_usage=("digitalSignature",), es_id="31000020260001"
    )
    forged = world.sealed("B", certificate=build_certificate(spec, key), key="forger")
    verdict = judge(forged, world.context(seals=Register("in-force")))
    assert outcome(verdict) == ("INDETERMINATE", "NO_CERTIFICATE_CHAIN_FOUND", "check")
    assert "self-made-certificate" in codes(verdict)
    # The esID in a certificate that nobody vouches for is a claim: the register is not asked, its "in force" not shown.
    assert verdict["signatures"][0]["seal"]["status"] == "unknown"


def test_a_ca_listed_for_something_else_does_not_count() -> None:
    world = fresh(Suite.RSA)
    trust = world.trust(ca_as=ServiceType.SEAL_MAKER)
    verdict = judge(world.sealed("B"), world.context(trust=trust))
    assert outcome(verdict)[:2] == ("INDETERMINATE", "NO_CERTIFICATE_CHAIN_FOUND")
    assert "service-type" in codes(verdict)


def test_a_timestamp_of_an_unlisted_unit_proves_nothing() -> None:
    world = fresh(Suite.RSA)
    verdict = judge(world.sealed("T"), world.context(trust=world.trust(tsa=False)))
    assert verdict["signatures"][0]["proven_time"] is None
    assert "timestamp-untrusted" in codes(verdict)


def test_a_withdrawn_authority_counts_only_for_what_is_proven_older() -> None:
    world = fresh(Suite.RSA)
    trust = world.trust(withdrawn=NOW - 10 * DAY)
    assert "service-withdrawn" in codes(judge(world.sealed("LTA"), world.context(trust=trust)))
    before = world.sealed("LTA", when=NOW - 20 * DAY)
    assert judge(before, VerificationContext(trust=trust, offline=True))["verdict"] == "TOTAL-PASSED"


def test_a_stale_list_is_not_an_untrusted_one() -> None:
    world = fresh(Suite.RSA)
    verdict = judge(world.sealed("LTA"), world.context(trust=world.trust(next_update=NOW - timedelta(hours=1))))
    assert outcome(verdict) == ("INDETERMINATE", "TRY_LATER", "check")
    assert "list-stale" in codes(verdict)
    assert verdict["trust"]["lists"][0]["state"] == "stale"


# Expired, revoked, back-dated


@SUITES
def test_an_expired_certificate_without_a_timestamp_is_out_of_bounds(suite: Suite) -> None:
    world = fresh(suite)
    old = world.seal_certificate("old", age=800 * DAY, days=365)
    document = world.sealed("B", when=NOW - 700 * DAY, certificate=old, key="old")
    verdict = judge(document, world.context())
    assert outcome(verdict) == ("INDETERMINATE", "OUT_OF_BOUNDS_NO_POE", "check")
    assert "certificate-expired" in codes(verdict)


@SUITES
def test_a_revoked_certificate_without_a_timestamp_has_no_proof(suite: Suite) -> None:
    world = fresh(suite)
    world.revoked[world.seal.serial] = (NOW - 5 * DAY, "superseded")
    verdict = judge(world.sealed("B", claimed=NOW - 30 * DAY), world.context())
    assert outcome(verdict) == ("INDETERMINATE", "REVOKED_NO_POE", "check")
    # Claiming an earlier time does not rescue it, and the claim is called what it is.
    assert {"REVOKED_NO_POE", "claimed-not-proven"} <= codes(verdict)


@SUITES
def test_a_stolen_key_is_refused(suite: Suite) -> None:
    world = fresh(suite)
    world.revoked[world.seal.serial] = (NOW - 5 * DAY, "keyCompromise")
    verdict = judge(world.sealed("B", claimed=NOW - 30 * DAY), world.context())
    assert outcome(verdict) == ("INDETERMINATE", "REVOKED_NO_POE", "refuse")
    assert "key-compromised" in codes(verdict)


@SUITES
def test_a_stolen_key_cannot_buy_a_timestamp_after_the_fact(suite: Suite) -> None:
    world = fresh(suite)
    document = world.sealed("T", when=NOW - 2 * DAY, claimed=NOW - 30 * DAY)
    world.revoked[world.seal.serial] = (NOW - 5 * DAY, "keyCompromise")
    assert outcome(judge(document, world.context())) == ("INDETERMINATE", "REVOKED_NO_POE", "refuse")


@SUITES
def test_revoked_after_the_proven_time_does_no_harm(suite: Suite) -> None:
    world = fresh(suite)
    document = world.sealed("T", when=NOW - 20 * DAY)
    world.revoked[world.seal.serial] = (NOW - 5 * DAY, "superseded")
    verdict = judge(document, world.context())
    assert outcome(verdict) == PASSED
    assert "revoked-later" in codes(verdict)


def test_a_signature_made_after_a_timestamped_state_and_after_revocation_fails_for_good() -> None:
    world = fresh(Suite.RSA)
    first = world.sealed("LTA", when=NOW - 3 * DAY)
    other = world.seal_certificate("other")
    world.revoked[other.serial] = (NOW - 5 * DAY, "superseded")
    verdict = judge(world.sealed("B", document=first, certificate=other, key="other", y_mm=150), world.context())
    # What it signs contains a timestamp younger than the revocation: this one is proven to be late.
    assert outcome(verdict) == ("TOTAL-FAILED", "REVOKED", "refuse")


def test_a_certificate_on_hold_asks_for_a_check() -> None:
    world = fresh(Suite.RSA)
    world.revoked[world.seal.serial] = (NOW - DAY, "certificateHold")
    verdict = judge(world.sealed("B"), world.context())
    assert outcome(verdict) == ("INDETERMINATE", "TRY_LATER", "check")
    assert "on-hold" in codes(verdict)
    assert "suspended" in verdict["answer"]["next_step"]
    proven = judge(world.sealed("T", when=NOW - 3 * DAY), world.context())
    assert outcome(proven) == PASSED
    assert "on-hold-later" in codes(proven)


@SUITES
def test_a_back_dated_signature_is_called_so(suite: Suite) -> None:
    world = fresh(suite)
    verdict = judge(world.sealed("LTA", claimed=NOW - 40 * DAY), world.context())
    assert verdict["verdict"] == "TOTAL-PASSED"
    assert "backdated" in codes(verdict)
    assert verdict["answer"]["decision"] == "check"


def test_a_claimed_time_before_the_certificate_is_called_so() -> None:
    world = fresh(Suite.RSA)
    verdict = judge(world.sealed("B", claimed=NOW - 2000 * DAY), world.context())
    assert "claimed-outside-certificate" in codes(verdict)
    assert verdict["answer"]["decision"] == "check"


def test_a_signature_proven_older_than_its_certificate_fails() -> None:
    world = fresh(Suite.RSA)
    young = world.seal_certificate("young", age=5 * DAY)
    document = world.sealed("T", when=NOW - 20 * DAY, certificate=young, key="young")
    assert outcome(judge(document, world.context())) == ("TOTAL-FAILED", "NOT_YET_VALID", "refuse")


def test_an_answer_that_nobody_authorised_does_not_count() -> None:
    world, stranger = fresh(Suite.RSA), World(Suite.RSA)

    class Liar:
        def evidence(self, cert: Any, issuer: Any) -> list[bytes]:
            return [answer for answer in (stranger.ocsp_for(stranger.seal), stranger.crl_for(stranger.seal), b"junk") if answer]

    verdict = judge(world.sealed("B"), VerificationContext(trust=world.trust(), revocation=Liar()))
    assert outcome(verdict) == ("INDETERMINATE", "TRY_LATER", "check")


def test_asked_about_a_time_before_the_revocation() -> None:
    world = fresh(Suite.RSA)
    document = world.sealed("B", when=NOW - 20 * DAY)
    world.revoked[world.seal.serial] = (NOW - 5 * DAY, "superseded")
    verdict = judge(document, world.context(at=NOW - 10 * DAY, trust=world.trust(next_update=NOW + DAY)))
    assert (verdict["verdict"], verdict["answer"]["decision"]) == ("TOTAL-PASSED", "check")


# Registers


class Register:
    """A seal register with one state from a time on."""

    def __init__(self, state: str, since: datetime = NOW - 5 * DAY) -> None:
        self.state, self.since = state, since

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        state = self.state if at >= self.since else "in-force"
        return SealStatus(es_id, "云江市市场监督管理局", "310000", state, self.since, "register")


def test_a_suspended_seal_asks_a_revoked_one_refuses_and_a_proven_time_saves() -> None:
    world = fresh(Suite.RSA)
    now, earlier = world.sealed("B"), world.sealed("T", when=NOW - 20 * DAY)
    assert outcome(judge(now, world.context(seals=Register("in-force")))) == PASSED
    assert judge(now, world.context(seals=Register("suspended")))["answer"]["decision"] == "check"
    revoked = judge(now, world.context(seals=Register("revoked")))
    assert (revoked["answer"]["decision"], revoked["answer"]["seal"]["state"]) == ("refuse", "bad")
    assert outcome(judge(earlier, world.context(seals=Register("revoked")))) == PASSED


def test_a_voided_impression_is_refused_though_its_signature_is_perfect() -> None:
    world = fresh(Suite.RSA)
    document = world.sealed("LTA")

    class Voided:
        def status(self, document_sha256: str) -> ImpressionStatus | None:
            from hashlib import sha256

            known = sha256(document).hexdigest()
            return ImpressionStatus("voided", NOW - DAY, "盖错") if document_sha256 == known else None

    verdict = judge(document, world.context(impressions=Voided()))
    assert outcome(verdict) == ("TOTAL-PASSED", None, "refuse")
    assert "impression-voided" in codes(verdict)
    # A later seal does not hide what was voided: earlier revisions are looked up too.
    again = world.sealed("B", document=document, y_mm=150)
    assert judge(again, world.context(impressions=Voided()))["answer"]["decision"] == "refuse"


# Licences


def licence_pdf(identifier: str = "1.2.156.3005.2.X", **fields: str) -> bytes:
    import json

    pdf = pikepdf.open(io.BytesIO(plain(1)))
    body = {"ZZBS": identifier, "ZZLXMC": "营业执照", "ZZBH": "91310000", "ZZBFJG": "云江市市场监督管理局", **fields}
    stream = pdf.make_stream(json.dumps(body, ensure_ascii=False).encode())
    spec = pikepdf.Dictionary(
        Type=pikepdf.Name.Filespec, F="metadata.json", UF="metadata.json", EF=pikepdf.Dictionary(F=stream)
    )
    pdf.Root["/AF"] = pikepdf.Array([pdf.make_indirect(spec)])
    target = io.BytesIO()
    pdf.save(target)
    return target.getvalue()


class Licences:
    def __init__(self, status: str | None, state_zh: str = "") -> None:
        self.state, self.state_zh = status, state_zh

    def status(self, identifier: str, at: datetime) -> LicenceStatus | None:
        if self.state is None:
            return None
        return LicenceStatus(identifier, "营业执照", self.state, self.state_zh, NOW - DAY, "310000", "register")


@pytest.mark.parametrize(
    ("status", "decision", "state", "code"),
    [
        ("in-force", "accept", "ok", None),
        ("withdrawn", "refuse", "bad", "licence-withdrawn"),
        ("suspended", "refuse", "bad", "licence-suspended"),
        ("expired", "refuse", "bad", "licence-expired"),
        ("superseded", "refuse", "bad", "licence-superseded"),
        (None, "check", "doubt", "licence-unknown"),
    ],
)
def test_a_perfect_signature_does_not_save_a_licence(status: str | None, decision: str, state: str, code: str | None) -> None:
    world = fresh(Suite.RSA)
    document = world.sealed("B", document=licence_pdf())
    verdict = judge(document, world.context(licences=Licences(status, "撤销")))
    assert verdict["verdict"] == "TOTAL-PASSED"
    assert (verdict["answer"]["decision"], verdict["answer"]["licence"]["state"]) == (decision, state)
    assert code is None or code in codes(verdict)
    assert verdict["licence"]["identifier"] == "1.2.156.3005.2.X"


def test_a_licence_past_its_own_date_is_refused_even_where_no_register_is_asked() -> None:
    world = fresh(Suite.RSA)
    verdict = judge(world.sealed("B", document=licence_pdf(ZZYXQJZRQ="20200131")), world.context())
    assert verdict["answer"]["decision"] == "refuse"
    assert "licence-expired" in codes(verdict)


def test_a_licence_without_its_seal_is_missed() -> None:
    verdict = judge(licence_pdf(), fresh(Suite.RSA).context())
    assert outcome(verdict) == ("NO-SIGNATURE", None, "check")
    assert codes(verdict) == {"licence-without-seal"}


def test_recognition_for_a_matter() -> None:
    world = fresh(Suite.RSA)

    class Rules:
        def judge(self, type_code: str, region: str, matter: str, at: datetime) -> Recognition | None:
            assert type_code == "sealed-document"
            outcome = {"开办企业": "accept", "不动产登记": "refuse"}.get(matter)
            return Recognition(outcome, type_code, "Because.", "有依据。", "a-rule") if outcome else None

    document = world.sealed("B")
    found = {
        matter: judge(document, world.context(matter=matter, recognition=Rules()))["answer"]
        for matter in ("开办企业", "不动产登记", "其他")
    }
    assert [(a["decision"], a["matter"]["state"]) for a in found.values()] == [
        ("accept", "ok"),
        ("refuse", "bad"),
        ("check", "doubt"),  # nobody said yes: a mistyped matter must not pass
    ]
