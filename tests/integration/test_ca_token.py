"""The CA with its keys in the tokens: founded, issuing, answering; nothing of it is software."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ca.profiles import profile
from ca.schemas import CaConfig
from ca.service import CertificateAuthorityService
from crypto.keys import digest
from crypto.suites import DigestAlgorithm, Suite
from formats import ocsp, tsp
from formats.crl import RevocationList
from formats.x509 import Subject
from hsm.errors import KeyStateForbids
from hsm.service import KeyService
from hsm.tokens import init_tokens
from store.audit import AuditLog
from store.db import utc_now
from tests.databases import migrated


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CertificateAuthorityService, KeyService]]:
    home = tmp_path_factory.mktemp("home")
    db = migrated(home / "db.sqlite")
    init_tokens(home)
    audit = AuditLog(db, "310000")
    keys = KeyService.open(home, db, "310000", audit=audit)
    config = CaConfig("310000", "上海市", "http://310000.localhost:8080")
    ca = CertificateAuthorityService(db, keys, config, audit=audit)
    ca.found()
    yield ca, keys
    keys.close()
    db.close()


def test_founding_leaves_every_key_in_its_token(node: tuple[CertificateAuthorityService, KeyService]) -> None:
    ca, keys = node
    for authority in ca.authorities():
        generation = keys.generation(authority.generation_id)
        assert (str(generation.state), generation.custody) == ("active", "token")
        assert generation.token_label == ("xinyin-root" if authority.kind == "root" else "xinyin-main")
        assert generation.public_key == authority.certificate.public_key
        assert ca.lint(authority.certificate.serial) == []
    before = ca.counts()
    ca.found()
    assert ca.counts() == before


@pytest.mark.parametrize("suite", list(Suite), ids=str)
def test_a_seal_key_is_certified_suspended_and_released(
    node: tuple[CertificateAuthorityService, KeyService], suite: Suite
) -> None:
    ca, keys = node
    generation = keys.stage(keys.create_role("seal_holder", suite, f"公章 {suite}").id)
    certificate = ca.issue(
        profile="seal-holder", generation=generation, subject=Subject("样本公章", "样本局"), es_id="31000000000001"
    )
    keys.activate(generation.id)
    leaf, issuing, root = ca.chain(certificate)
    assert leaf.is_signed_by(issuing.public_key)
    assert issuing.is_signed_by(root.public_key)
    told = []
    for change in (lambda: None, lambda: ca.hold(leaf.serial), lambda: ca.release(leaf.serial)):
        change()
        response = ocsp.OcspResponse.parse(ca.ocsp(ocsp.build_request(leaf, issuing)))
        assert response.signer(issuing) is not None
        told.append((response.answers[0].status, RevocationList.parse(ca.crl_for(leaf) or b"").entry(leaf.serial) is not None))
    assert told == [("good", False), ("revoked", True), ("good", False)]
    request = ca.csr(generation, Subject("样本公章", "样本局"), es_id="31000000000001")
    assert request


@pytest.mark.parametrize("algorithm", [DigestAlgorithm.SHA256, DigestAlgorithm.SM3], ids=str)
def test_the_token_stamps(node: tuple[CertificateAuthorityService, KeyService], algorithm: DigestAlgorithm) -> None:
    imprint = digest(algorithm, b"document")
    token = tsp.TimestampToken.parse(node[0].timestamp_token(algorithm, imprint))
    assert token.check().intact
    assert token.imprint == imprint


def test_a_retired_issuing_key_signs_lists_and_answers_and_no_certificates(
    node: tuple[CertificateAuthorityService, KeyService],
) -> None:
    ca, keys = node
    generation = keys.stage(keys.create_role("receipt", Suite.P256, "回执").id)
    old = ca.issue(profile="receipt", generation=generation, subject=Subject("样本", "样本"))
    first = ca.authority("issuing-p256-1")
    staged = keys.stage(keys.generation(first.generation_id).role_id)
    second = ca.succeed_issuing(Suite.P256, staged)
    keys.activate(staged.id)
    keys.retire(first.generation_id)
    new = ca.issue(profile="receipt", generation=generation, subject=Subject("样本", "样本"))
    assert ca.chain(new)[1] == second.certificate
    ca.revoke(old.serial, "superseded")
    assert RevocationList.parse(ca.crl("issuing-p256-1")).entry(old.serial) is not None
    response = ocsp.OcspResponse.parse(ca.ocsp(ocsp.build_request(old, first.certificate)))
    assert response.answers[0].status == "revoked"
    with pytest.raises(KeyStateForbids):
        ca.issuing.issue(profile("receipt"), generation, Subject("样本", "样本"), issuer=first)
    later = utc_now() + timedelta(days=3)
    assert ca.refresh(later).failures == []
