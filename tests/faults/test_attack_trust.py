"""Certificates, answers and timestamps put to uses that nobody gave them; none of them earns an acceptance."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crypto.suites import DigestAlgorithm, Suite, default_scheme
from formats import tsp
from formats.crl import CrlSpec, build_crl
from formats.ocsp import Answer, CertId, build_response
from formats.x509 import (
    EKU_DOCUMENT_SIGNING,
    EKU_OCSP_SIGNING,
    EKU_TIME_STAMPING,
    Certificate,
    CertificateSpec,
    Subject,
    build_certificate,
)
from seals.sealing import Placement, SealingMaterial, seal_pdf
from tests.integration.test_verify_reasons import PASSED, codes, fresh, judge, outcome
from tests.pdf_samples import plain
from tests.verify_world import DAY, ES_ID, NOW, World, picture


def issued(world: World, name: str, issuer: Certificate, issuer_key: str, key: str, **more: Any) -> Certificate:
    """A certificate by any key as issuer, whether it may issue or not."""
    world.serial += 1
    more.setdefault("key_usage", ("digitalSignature", "nonRepudiation"))
    start = more.pop("start", NOW - 30 * DAY)
    subject, public = Subject(name, organization="样本机关"), world.key(key).public_key
    spec = CertificateSpec(subject, public, world.serial, start, start + 400 * DAY, issuer=issuer, **more)
    return build_certificate(spec, world.key(issuer_key))


def sealed_by(world: World, certificate: Certificate, key: str, chain: list[Certificate], level: str = "B") -> bytes:
    material = SealingMaterial(world.key(key), default_scheme(world.suite), certificate, chain, picture(), ES_ID, "云江市")
    return seal_pdf(
        plain(1), material, Placement(1, 60, 60), level=level, when=NOW, timestamps=world, revocation=world  # type: ignore[arg-type]
    ).data  # fmt: skip


@pytest.mark.parametrize(
    ("key", "usage"),
    [
        ("tsa", {"extended_key_usage": (EKU_TIME_STAMPING,), "extended_key_usage_critical": True}),
        ("ocsp", {"extended_key_usage": (EKU_OCSP_SIGNING,), "ocsp_nocheck": True}),
        ("crl", {"key_usage": ("cRLSign",)}),
        ("tls", {"extended_key_usage": ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")}),
        ("code", {"extended_key_usage": ("1.3.6.1.5.5.7.3.3",)}),
    ],
)
def test_a_certificate_for_another_purpose_does_not_seal(key: str, usage: dict[str, Any]) -> None:
    world = fresh(Suite.P256)
    certificate = issued(world, "样本其他用途", world.ca, "ca", "attack-" + key, **usage)
    verdict = judge(sealed_by(world, certificate, "attack-" + key, [world.ca, world.root]), world.context())
    assert verdict["answer"]["decision"] != "accept", outcome(verdict)


def test_the_holder_of_a_seal_is_no_authority() -> None:
    world = fresh(Suite.P256)
    certificate = issued(world, "样本下级", world.seal, "seal", "attack-sub", es_id=ES_ID)
    verdict = judge(sealed_by(world, certificate, "attack-sub", [world.seal, world.ca, world.root]), world.context())
    assert verdict["verdict"] == "INDETERMINATE"
    assert codes(verdict) & {"CHAIN_CONSTRAINTS_FAILURE", "foreign-signer"}


def test_an_authority_below_one_that_may_have_none_is_refused() -> None:
    world = fresh(Suite.P256)
    usage = ("keyCertSign", "cRLSign")
    sub = issued(world, "样本下级机构", world.ca, "ca", "attack-subca", is_ca=True, key_usage=usage)
    certificate = issued(world, "样本章", sub, "attack-subca", "attack-leaf", extended_key_usage=(EKU_DOCUMENT_SIGNING,))
    verdict = judge(sealed_by(world, certificate, "attack-leaf", [sub, world.ca, world.root]), world.context())
    assert verdict["verdict"] == "INDETERMINATE"
    assert "CHAIN_CONSTRAINTS_FAILURE" in codes(verdict)


class Answers:
    """A provider that gives one set of answers, whoever asks."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)

    def evidence(self, cert: Certificate, issuer: Certificate) -> list[bytes]:
        return self.answers


def good(world: World, about: Certificate, issuer: Certificate, key: str, responder: Certificate, **more: Any) -> bytes:
    at = more.pop("at", NOW)
    answer = Answer(CertId.of(about, issuer), "good", at, at + DAY, None, None)
    return build_response([answer], world.key(key), responder, produced_at=at)


def test_only_those_who_may_answer_for_a_certificate_do() -> None:
    world = fresh(Suite.P256)
    document, trust = world.sealed("B"), world.trust()
    other = issued(world, "样本另一应答", world.root, "root", "attack-responder", extended_key_usage=(EKU_OCSP_SIGNING,))
    stale = good(world, world.seal, world.ca, "ocsp", world.responder, at=NOW - 40 * DAY)
    wrong = {
        "the seal itself": good(world, world.seal, world.ca, "seal", world.seal),
        "the timestamp unit": good(world, world.seal, world.ca, "tsa", world.tsa),
        "a delegate of another authority": good(world, world.seal, world.ca, "attack-responder", other),
        "about another certificate": good(world, world.tsa, world.ca, "ocsp", world.responder),
        "long over": stale,
        "a list by another authority": build_crl(CrlSpec(world.root, 1, NOW, NOW + DAY, ()), world.key("root")),
        "a list signed by the seal": build_crl(CrlSpec(world.ca, 1, NOW, NOW + DAY, ()), world.key("seal")),
    }
    for who, answer in wrong.items():
        context = world.context(trust=trust)
        context.revocation = Answers(answer)
        verdict = judge(document, context)
        assert verdict["verdict"] == "INDETERMINATE", who
        assert "revocation-missing" in codes(verdict), who


def test_a_responder_that_was_revoked_itself_does_not_answer() -> None:
    """Without ocsp-nocheck a responder's own certificate counts only until it is revoked (RFC 6960 §4.2.2.2.1)."""
    world = fresh(Suite.P256)
    responder = issued(world, "样本失窃应答", world.ca, "ca", "attack-stolen", extended_key_usage=(EKU_OCSP_SIGNING,))
    answer = good(world, world.seal, world.ca, "attack-stolen", responder)
    context = world.context()
    context.revocation = Answers(answer)
    assert outcome(judge(world.sealed("B"), context)) == PASSED
    only = world.context()
    only.revocation = Answers(answer, revoked_answer(world, responder))
    assert judge(world.sealed("B"), only)["verdict"] == "INDETERMINATE"


def revoked_answer(world: World, about: Certificate) -> bytes:
    answer = Answer(CertId.of(about, world.ca), "revoked", NOW, NOW + DAY, NOW - DAY, "keyCompromise")
    return build_response([answer], world.key("ocsp"), world.responder, produced_at=NOW)


def test_a_seal_cannot_stamp_time() -> None:
    world = fresh(Suite.P256)

    class Own:
        def timestamp_token(self, digest_alg: DigestAlgorithm, digest: bytes) -> bytes:
            return tsp.build_token(
                digest=digest_alg, imprint=digest, serial=1, gen_time=NOW - 300 * DAY, policy="2.25.1",
                signer=world.key("seal"), certificate=world.seal, chain=[world.ca],
            )  # fmt: skip

    material = SealingMaterial(
        world.key("seal"), default_scheme(Suite.P256), world.seal, [world.ca, world.root], picture(), ES_ID, "云江市"
    )
    when = NOW - 300 * DAY
    world.revoked[world.seal.serial] = (NOW - timedelta(days=1), "keyCompromise")
    document = seal_pdf(plain(1), material, Placement(1, 60, 60), level="T", when=when, timestamps=Own()).data
    verdict = judge(document, world.context())
    assert verdict["signatures"][0]["proven_time"] is None
    assert verdict["answer"]["decision"] == "refuse"
