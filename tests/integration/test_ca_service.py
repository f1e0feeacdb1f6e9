"""The CA keeps its word: what it issues, takes back and refuses; a locked token never leaves a wrong answer behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from asn1crypto import ocsp as aocsp

from ca import errors
from ca.issuing import new_serial
from ca.lint import LintRefused, lint, refuse
from ca.outside import StatusUnavailable
from ca.profiles import NoSuchProfile, profile
from ca.revocation import BadReason
from ca.schemas import CaConfig
from ca.service import CertificateAuthorityService
from ca.timestamps import Timestamps
from ceremonies.upkeep import revocation
from crypto.errors import BadInput, Misconfigured, Unavailable, XinyinError
from crypto.keys import SoftwareKey, digest
from crypto.suites import DigestAlgorithm, Suite
from formats import ocsp, pkcs10, tsp
from formats.crl import RevocationList
from formats.x509 import Certificate, CertificateSpec, Subject, build_certificate
from store.db import Database
from tests.integration.ca_world import World
from tests.software_keys import SoftwareKeys

SUITES = list(Suite)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.found(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def _real_time(world: World) -> Iterator[None]:
    yield
    world.offset = timedelta()
    world.keys.locked.clear()


def status(world: World, certificate: Certificate, algorithm: str = "sha1") -> tuple[str, str | None]:
    """(status, reason) as a client learns it: request, answer, authorised signer."""
    issuer = world.ca.chain(certificate)[1]
    response = ocsp.OcspResponse.parse(world.ca.ocsp(ocsp.build_request(certificate, issuer, algorithm=algorithm)))
    answer = response.answer_for(certificate, issuer)
    assert answer is not None
    signer = response.signer(issuer)
    assert signer is not None
    assert signer != issuer  # the delegate
    assert signer.valid_at(world.now())
    return answer.status, answer.reason


def listed(world: World, certificate: Certificate) -> str | None:
    crl = RevocationList.parse(world.ca.crl_for(certificate) or b"")
    assert crl.is_signed_by(world.ca.chain(certificate)[1].public_key)
    assert crl.covers(certificate)
    entry = crl.entry(certificate.serial)
    return entry.reason if entry else None


# --- founding and issuing ---------------------------------------------------------------------------------------------------


def test_founding_makes_a_root_and_an_issuing_ca_for_each_suite(world: World) -> None:
    names = [a.name for a in world.ca.authorities()]
    assert sorted(names) == sorted(f"{kind}-{suite}-1" for kind in ("root", "issuing") for suite in SUITES)
    assert len(world.ca.anchors()) == 3
    for authority in world.ca.authorities():
        assert "样本" in authority.certificate.subject
        assert authority.certificate.public_key.suite is authority.suite
        crl = RevocationList.parse(world.ca.crl(authority.name))
        assert (crl.number, len(crl)) == (1, 0)
        assert crl.is_signed_by(authority.certificate.public_key)


def test_founding_again_changes_nothing(world: World) -> None:
    before = (world.ca.counts(), [a.certificate.sha256 for a in world.ca.authorities()], len(world.keys.generations))
    world.ca.found()
    assert (world.ca.counts(), [a.certificate.sha256 for a in world.ca.authorities()], len(world.keys.generations)) == before


def test_founding_goes_on_wherever_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at each call to the keys in turn, and begun again: one of everything in the end, and no key without a use."""

    class Stop(BaseException):
        pass

    db = Database.open(f"sqlite:///{tmp_path}/db.sqlite")
    db.migrate()
    keys = SoftwareKeys()
    ca = CertificateAuthorityService(db, keys, CaConfig("310000", "上海市", "http://310000.localhost:8080"))
    calls, stops = 0, 0

    def stopping(name: str) -> None:
        inner = getattr(keys, name)

        def call(*args: object) -> object:
            nonlocal calls
            calls += 1
            if calls == stops:
                raise Stop
            return inner(*args)

        monkeypatch.setattr(keys, name, call)

    for name in ("create_role", "stage", "activate", "signer"):
        stopping(name)
    finished = False
    while not finished:
        calls, stops = 0, stops + 1
        with suppress(Stop):
            ca.found()
            finished = True
    assert stops > 3
    profiles = sorted(r.profile for r in ca.records(limit=100))
    assert profiles == sorted(["root-ca", "issuing-ca", "ocsp"] * 3 + ["tsa"] * 2 + ["seal-maker"])
    assert len(keys.generations) == 12
    assert {g.state for g in keys.generations.values()} == {"active"}


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_a_seal_certificate_has_what_its_profile_says(world: World, suite: Suite) -> None:
    generation, certificate = world.seal(suite, "31000000000099")
    assert certificate.public_key == generation.public_key
    assert certificate.es_id == "31000000000099"
    assert certificate.key_usage == {"digitalSignature", "nonRepudiation"}
    assert certificate.extended_key_usage == frozenset()
    leaf, issuing, root = world.ca.chain(certificate)
    assert (leaf, root) == (certificate, next(a for a in world.ca.anchors() if a.public_key.suite is suite))
    assert leaf.is_signed_by(issuing.public_key)
    assert issuing.is_signed_by(root.public_key)
    assert certificate.crl_urls == (f"http://310000.localhost:8080/crl/issuing-{suite}-1.crl",)
    assert certificate.not_after - certificate.not_before <= timedelta(days=1095)
    assert world.ca.certificates(generation.id) == [certificate]
    assert world.ca.lint(certificate.serial) == []


def test_serials_are_positive_and_unforeseeable() -> None:
    serials = [new_serial() for _ in range(2000)]
    assert len(set(serials)) == 2000
    assert all(len(s.to_bytes(20, "big")) == 20 and s.bit_length() == 159 for s in serials)
    assert len({s >> 138 for s in serials}) > 1900  # the high bits vary too


def test_every_name_says_sample_outside_production(world: World) -> None:
    generation = world.keys.new("receipt", Suite.P256)
    certificate = world.ca.issue(profile="receipt", generation=generation, subject=Subject("回执", "云江市政务服务局"))
    assert certificate.common_name == "样本 回执"


@pytest.mark.parametrize(
    ("base", "status_url", "expected"),
    [
        ("https://seals.example.gov.cn", None, "http://seals.example.gov.cn"),
        ("https://seals.example.gov.cn:8443/", "http://pki.example.gov.cn/", "http://pki.example.gov.cn"),
        ("http://310000.localhost:8310", None, "http://310000.localhost:8310"),
    ],
)
def test_addresses_in_certificates_are_plain_http(world: World, base: str, status_url: str | None, expected: str) -> None:
    config = replace(world.ca.config, base_url=base, status_url=status_url)
    ca = CertificateAuthorityService(world.db, world.keys, config, audit=world.ca.audit, now=world.now)
    generation = world.keys.new("receipt", Suite.P256)
    made = ca.issue(profile="receipt", generation=generation, subject=Subject("样本", "样本"))
    assert (made.ocsp_urls, made.ca_issuer_urls) == ((f"{expected}/ocsp",), (f"{expected}/ca/issuing-p256-1.crt",))


def test_no_certificate_outlives_its_issuer(world: World) -> None:
    world.offset = timedelta(days=3600)
    _, certificate = world.seal(Suite.P256)
    assert certificate.not_after == world.ca.chain(certificate)[1].not_after


def test_fewer_days_can_be_asked_for_but_not_more(world: World) -> None:
    generation = world.keys.new("receipt", Suite.P256)
    subject = Subject("样本", "样本")
    short = world.ca.issue(profile="receipt", generation=generation, subject=subject, days=3)
    long = world.ca.issue(profile="receipt", generation=generation, subject=subject, days=99999)
    assert (short.not_after - short.not_before).days == 3
    assert (long.not_after - long.not_before).days == 1095


def test_what_breaks_its_profile_is_never_signed(world: World) -> None:
    generation = world.keys.new("seal_holder", Suite.P256)
    before = world.keys.uses["certificate"]
    with pytest.raises(LintRefused) as refusal:
        world.ca.issue(profile="seal-holder", generation=generation, subject=Subject("样本", "样本"))
    assert refusal.value.detail["findings"] == ["es-id"]
    with pytest.raises(LintRefused):
        world.ca.issue(profile="receipt", generation=generation, subject=Subject("样本 无单位"))
    assert world.keys.uses["certificate"] == before
    assert world.ca.certificates(generation.id) == []


@pytest.mark.parametrize("state", ["retired", "destroyed"])
def test_a_retired_or_destroyed_key_gets_no_certificate(world: World, state: str) -> None:
    generation = world.keys.new("receipt", Suite.P256)
    world.keys.set_state(generation.id, state)
    with pytest.raises(errors.KeyNotInUse):
        world.ca.issue(profile="receipt", generation=world.keys.generation(generation.id), subject=Subject("样本", "样本"))


def test_unknown_profiles_serials_and_authorities_are_named(world: World) -> None:
    with pytest.raises(NoSuchProfile):
        profile("server")
    for call in (world.ca.record, world.ca.hold, world.ca.lint):
        with pytest.raises(errors.NoSuchCertificate):
            call("00ff")
    for name in ("issuing-rsa-9", "../../etc/passwd", ""):
        with pytest.raises(errors.NoSuchAuthority):
            world.ca.crl(name)
        with pytest.raises(errors.NoSuchAuthority):
            world.ca.authority_certificate(name)


def test_a_signature_that_the_token_got_wrong_never_leaves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = world.keys.new("receipt", Suite.P256)

    class Faulty:
        public_key = SoftwareKey.generate(Suite.P256).public_key

        def sign(self, message: bytes, scheme: object = None) -> bytes:
            return SoftwareKey.generate(Suite.P256).sign(message)

    monkeypatch.setattr(world.keys, "signer", lambda generation_id, use: Faulty())
    with pytest.raises(XinyinError) as refusal:
        world.ca.issue(profile="receipt", generation=generation, subject=Subject("样本", "样本"))
    assert refusal.value.code == "issuer-signature-wrong"
    assert world.ca.certificates(generation.id) == []


def test_a_certificate_is_renewed_for_the_same_key_or_the_next(tmp_path: Path) -> None:
    world = World.found(tmp_path)
    generation, certificate = world.seal(Suite.RSA, "31000000000088")
    world.offset = timedelta(days=1000)
    renewed = world.ca.renew(certificate.serial)
    assert (renewed.subject_der, renewed.public_key) == (certificate.subject_der, certificate.public_key)
    assert (renewed.es_id, renewed.serial == certificate.serial) == (certificate.es_id, False)
    assert renewed.not_after > certificate.not_after
    assert world.ca.usable(generation.id) == [renewed, certificate]
    (unit,) = [r for r in world.ca.records(profile="tsa") if r.certificate.public_key.suite is Suite.RSA]
    staged = world.keys.stage(world.keys.generations[unit.generation_id or ""].role_id)
    second = world.ca.renew(unit.serial, staged)
    assert second.common_name.endswith("时间戳单元 RSA G2")
    assert second.public_key == staged.public_key
    world.keys.activate(staged.id)
    token = tsp.TimestampToken.parse(world.ca.timestamp_token(DigestAlgorithm.SHA256, bytes(32)))
    assert token.certificate == second
    with pytest.raises(errors.KeyNotInUse):
        world.ca.renew(certificate.serial, world.keys.new("seal_holder", Suite.RSA))
    world.ca.hold(certificate.serial)
    for refused in (certificate, world.ca.authority("issuing-rsa-1").certificate, world.ca.anchors()[0]):
        with pytest.raises(errors.CertificateStateRefused):
            world.ca.renew(refused.serial)


# --- status -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_hold_and_release_and_revocation_show_at_once(world: World, suite: Suite) -> None:
    _, certificate = world.seal(suite)
    assert (status(world, certificate), listed(world, certificate)) == (("good", None), None)
    numbers = [RevocationList.parse(world.ca.crl_for(certificate) or b"").number]

    generation_id = world.ca.record(certificate.serial).generation_id
    assert generation_id is not None
    assert world.ca.usable(generation_id) == [certificate]
    held = world.ca.hold(certificate.serial, actor="officer_1")
    assert world.ca.usable(generation_id) == []
    assert (held.status, held.reason) == ("hold", "certificateHold")
    assert status(world, certificate) == ("revoked", "certificateHold")
    assert status(world, certificate, "sha256") == ("revoked", "certificateHold")
    assert listed(world, certificate) == "certificateHold"
    numbers.append(RevocationList.parse(world.ca.crl_for(certificate) or b"").number)
    with pytest.raises(errors.CertificateStateRefused):
        world.ca.hold(certificate.serial)

    assert world.ca.release(certificate.serial_hex).status == "good"
    assert (status(world, certificate), listed(world, certificate)) == (("good", None), None)
    assert status(world, certificate, "sha256") == ("good", None)
    numbers.append(RevocationList.parse(world.ca.crl_for(certificate) or b"").number)
    with pytest.raises(errors.CertificateStateRefused):
        world.ca.release(certificate.serial)

    suspect = (world.now() - timedelta(days=2)).replace(microsecond=0)
    world.ca.revoke(certificate.serial, "keyCompromise", invalidity_at=suspect)
    assert status(world, certificate) == ("revoked", "keyCompromise")
    entry = RevocationList.parse(world.ca.crl_for(certificate) or b"").entry(certificate.serial)
    assert entry is not None
    assert (entry.reason, entry.invalidity_at) == ("keyCompromise", suspect)
    numbers.append(RevocationList.parse(world.ca.crl_for(certificate) or b"").number)
    for change in (world.ca.release, world.ca.hold, world.ca.revoke):
        with pytest.raises(errors.CertificateStateRefused):
            change(certificate.serial)
    assert status(world, certificate) == ("revoked", "keyCompromise")
    assert None not in numbers
    assert numbers == sorted(set(numbers))  # every list has a higher number than the one before


def test_a_revocation_out_of_a_hold_counts_from_the_hold(world: World) -> None:
    _, certificate = world.seal(Suite.P256)
    held = world.ca.hold(certificate.serial)
    world.offset = timedelta(hours=5)
    assert world.ca.revoke(certificate.serial, "superseded").revoked_at == held.revoked_at


def test_reasons_that_make_no_sense_are_refused(world: World) -> None:
    _, certificate = world.seal(Suite.P256)
    for reason in ("certificateHold", "cACompromise", "removeFromCRL", "lost"):
        with pytest.raises(BadReason):
            world.ca.revoke(certificate.serial, reason)
    with pytest.raises(BadReason):
        world.ca.revoke(certificate.serial, "keyCompromise", invalidity_at=datetime.now(UTC) + timedelta(days=1))
    assert status(world, certificate) == ("good", None)


def test_a_held_certificate_is_not_called_good_while_the_signer_is_down(world: World) -> None:
    _, certificate = world.seal(Suite.RSA)
    assert status(world, certificate) == ("good", None)
    world.keys.locked = set(world.keys.generations)
    assert world.ca.hold(certificate.serial).status == "hold"
    issuer = world.ca.chain(certificate)[1]
    response = ocsp.OcspResponse.parse(world.ca.ocsp(ocsp.build_request(certificate, issuer)))
    assert response.status == "try_later"
    world.keys.locked.clear()
    assert status(world, certificate) == ("revoked", "certificateHold")
    assert listed(world, certificate) == "certificateHold"


def test_pre_signed_answers_cost_no_signature_and_ignore_nonces(world: World) -> None:
    _, certificate = world.seal(Suite.RSA)
    issuer = world.ca.chain(certificate)[1]
    before = world.keys.uses["ocsp"]
    answers = {world.ca.ocsp(ocsp.build_request(certificate, issuer, nonce=bytes([n]) * 16)) for n in range(20)}
    assert len(answers) == 1
    assert ocsp.OcspResponse.parse(answers.pop()).nonce is None
    assert world.ca.ocsp_for(certificate) == world.ca.ocsp(ocsp.build_request(certificate, issuer))
    assert world.keys.uses["ocsp"] == before


def test_an_answer_that_goes_into_a_document_is_at_most_an_hour_old(world: World) -> None:
    _, certificate = world.seal(Suite.SM2)
    world.offset = timedelta(minutes=50)
    kept = world.ca.ocsp_for(certificate)
    assert kept is not None
    assert world.ca.ocsp_for(certificate) == kept
    world.offset = timedelta(minutes=130)
    fresh = ocsp.OcspResponse.parse(world.ca.ocsp_for(certificate) or b"")
    assert world.now() - fresh.answers[0].this_update < timedelta(minutes=1)
    assert world.ca.ocsp(ocsp.build_request(certificate, world.ca.chain(certificate)[1])) == fresh.der


def test_ocsp_answers_strangers_without_a_signature(world: World) -> None:
    _, certificate = world.seal(Suite.RSA)
    issuer = world.ca.chain(certificate)[1]
    before = world.keys.uses["ocsp"]
    stranger_key = SoftwareKey.generate(Suite.P256)
    now = world.now()
    usage = ["keyCertSign"]
    spec = CertificateSpec(
        Subject("外省"), stranger_key.public_key, 9, now, now + timedelta(days=1), is_ca=True, key_usage=usage
    )
    stranger = build_certificate(spec, stranger_key)
    for request, expected in (
        (ocsp.build_request(stranger, stranger), "unauthorized"),
        (ocsp.build_request(issuer, world.ca.chain(issuer)[1]), "unauthorized"),  # the root gives lists only
        (b"", "malformed_request"),
        (b"\x30\x03\x02\x01\x01", "malformed_request"),
        (ocsp.build_request(certificate, issuer)[:-1], "malformed_request"),
    ):
        assert ocsp.OcspResponse.parse(world.ca.ocsp(request)).status == expected
    assert world.keys.uses["ocsp"] == before


def test_numbers_never_issued_are_unknown_and_cannot_keep_the_token_busy(world: World) -> None:
    _, certificate = world.seal(Suite.P256)
    issuer = world.ca.chain(certificate)[1]
    hashes = ocsp.issuer_hashes(issuer, "sha1")
    told = []
    for serial in range(5, 45):
        asked = ocsp.CertId("sha1", *hashes, serial)
        request = aocsp.OCSPRequest({"tbs_request": {"request_list": [{"req_cert": asked.to_asn1()}]}}).dump()
        response = ocsp.OcspResponse.parse(world.ca.ocsp(request))
        told.append(response.answers[0].status if response.status == "successful" else response.status)
    assert told[0] == "unknown"
    assert set(told) == {"unknown", "try_later"}
    assert told.count("unknown") <= 12


def test_a_list_that_cannot_be_renewed_is_still_served(world: World) -> None:
    served = world.ca.crl("root-rsa-1")
    world.keys.locked = set(world.keys.generations)
    world.offset = timedelta(days=400)
    assert world.ca.crl("root-rsa-1") == served


def test_an_outdated_list_is_renewed_when_asked_for(world: World) -> None:
    before = RevocationList.parse(world.ca.crl("issuing-p256-1"))
    world.offset = timedelta(days=8)
    after = RevocationList.parse(world.ca.crl("issuing-p256-1"))
    assert after.number == (before.number or 0) + 1
    assert after.next_update is not None
    assert after.next_update > world.now()


def test_refresh_renews_before_anything_lapses_and_reports_the_locked_root(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World.found(tmp_path)
    certificates = [world.seal(suite)[1] for suite in SUITES]
    assert world.ca.refresh() == type(world.ca.refresh())()  # nothing due
    world.offset = timedelta(days=70)
    world.keys.locked = {a.generation_id for a in world.ca.authorities() if a.kind == "root"}
    report = world.ca.refresh()
    assert report.crls == ["issuing-p256-1", "issuing-rsa-1", "issuing-sm2-1"]
    assert len(report.responders) == 3  # ninety-day delegates, renewed thirty days early
    assert report.answers == 3 + 3  # seals, two timestamp units, one seal maker
    assert report.failures == []
    for certificate in certificates:
        assert status(world, certificate) == ("good", None)
    world.offset = timedelta(days=275)
    failures = world.ca.refresh().failures
    assert [f["authority"] for f in failures] == ["root-p256-1", "root-rsa-1", "root-sm2-1"]
    assert world.ca.refresh().answers == 0
    with caplog.at_level(logging.WARNING, "xinyin.worker"):
        work = revocation(SimpleNamespace(ca=world.ca))  # type: ignore[arg-type]
        for _ in range(5):  # five minutes of the worker
            work()
    assert [r.getMessage().split()[2] for r in caplog.records] == ["root-p256-1:", "root-rsa-1:", "root-sm2-1:"]


def test_a_retired_issuing_ca_goes_on_answering_for_what_it_signed(tmp_path: Path) -> None:
    world = World.found(tmp_path)
    _, old = world.seal(Suite.P256)
    first = world.ca.authority("issuing-p256-1")
    role = world.keys.generation(first.generation_id).role_id
    staged = world.keys.stage(role)
    second = world.ca.succeed_issuing(Suite.P256, staged)
    world.keys.activate(staged.id)
    world.keys.set_state(first.generation_id, "retired")
    _, new = world.seal(Suite.P256)
    assert world.ca.chain(new)[1] == second.certificate
    assert second.certificate.subject_der != first.certificate.subject_der
    world.ca.hold(old.serial)
    assert status(world, old) == ("revoked", "certificateHold")
    assert status(world, new) == ("good", None)
    assert listed(world, old) == "certificateHold"
    assert listed(world, new) is None
    world.offset = timedelta(days=120)  # its delegate has expired by now: it answers with its own key
    response = ocsp.OcspResponse.parse(world.ca.ocsp(ocsp.build_request(old, first.certificate)))
    assert response.signer(first.certificate) == first.certificate
    assert response.answers[0].status == "revoked"


def test_an_issuing_ca_is_revoked_on_its_roots_list(tmp_path: Path) -> None:
    world = World.found(tmp_path)
    issuing = world.ca.authority("issuing-rsa-1").certificate
    world.ca.revoke(issuing.serial, "cessationOfOperation")
    assert listed(world, issuing) == "cessationOfOperation"
    root = world.ca.chain(issuing)[-1]
    assert world.ca.ocsp_for(issuing) is None  # the root's key is offline: it signs lists, and answers nobody
    assert (world.ca.ocsp_for(root), world.ca.crl_for(root)) == (None, None)
    with pytest.raises(errors.CertificateStateRefused):
        world.ca.revoke(root.serial)


def test_every_change_is_in_the_audit_log(world: World) -> None:
    _, certificate = world.seal(Suite.P256)
    world.ca.hold(certificate.serial, actor="officer_7", reason="遗失")
    world.ca.release(certificate.serial, actor="officer_7")
    world.ca.revoke(certificate.serial, "superseded", actor="officer_7")
    log = world.ca.audit
    assert log is not None
    record = world.ca.record(certificate.serial)
    kinds = [(entry.kind, entry.actor) for entry in log.history(record.id)]
    changes = [(f"certificate.{verb}", "officer_7") for verb in ("held", "released", "revoked")]
    assert sorted(kinds) == sorted([("certificate.issued", "system"), *changes])
    issued = log.entries(kind="certificate.issued", limit=1000)
    assert len(issued) == sum(world.ca.counts().values()) - world.ca.counts().get("issuing", 0) - outside_count(world)


def outside_count(world: World) -> int:
    return len(world.ca.records(limit=1000, origin="outside"))


def test_lists_come_in_pages_and_refuse_unknown_filters(world: World) -> None:
    for _ in range(3):
        world.seal(Suite.P256, "31000000000055")
    whole = [r.id for r in world.ca.records(es_id="31000000000055")]
    first = world.ca.records(es_id="31000000000055", limit=2)
    second = world.ca.records(es_id="31000000000055", limit=2, before=first[-1].id)
    assert [r.id for r in (*first, *second)] == whole
    assert len(whole) == 3
    with pytest.raises(BadInput):
        world.ca.records(der="x")


def test_what_expires_soon_is_listed_and_lint_says_so(tmp_path: Path) -> None:
    world = World.found(tmp_path)
    generation = world.keys.new("receipt", Suite.P256)
    short = world.ca.issue(profile="receipt", generation=generation, subject=Subject("样本", "样本"), days=10)
    assert [r.certificate for r in world.ca.expiring(timedelta(days=11))] == [short]
    world.offset = timedelta(days=9, hours=12)
    assert [f.code for f in world.ca.lint(short.serial)] == ["expiring"]
    world.offset = timedelta(days=11)
    assert [f.code for f in world.ca.lint(short.serial)] == ["expired"]
    assert world.ca.record(short.serial).status == "expired"


# --- outside CAs ------------------------------------------------------------------------------------------------------------


class Outside:
    """A licensed CA somewhere else: a root, an issuing CA, certificates for requests, over a Fetcher that reaches it."""

    def __init__(self, world: World, suite: Suite) -> None:
        self.world = world
        self.root_key, self.key = SoftwareKey.generate(suite), SoftwareKey.generate(suite)
        now, usage = world.now() - timedelta(days=1), ["keyCertSign", "cRLSign"]
        spec = CertificateSpec(
            Subject("某电子认证根", "某 CA"),
            self.root_key.public_key,
            11,
            now,
            now + timedelta(days=3000),
            is_ca=True,
            key_usage=usage,
        )
        self.root = build_certificate(spec, self.root_key)
        spec = CertificateSpec(
            Subject("某电子认证", "某 CA"),
            self.key.public_key,
            12,
            now,
            now + timedelta(days=2000),
            issuer=self.root,
            is_ca=True,
            path_len=0,
            key_usage=usage,
        )
        self.ca = build_certificate(spec, self.root_key)
        self.status = "good"
        self.asked: list[str] = []

    def issue(self, request: bytes, **changes: object) -> Certificate:
        asked = pkcs10.CertificationRequest.parse(request)
        assert asked.is_self_signed
        now = self.world.now()
        fields: dict[str, object] = {
            "subject": Subject("云江市市场监督管理局", "云江市市场监督管理局"),
            "public_key": asked.public_key,
            "serial": 2**100 + 1,
            "not_before": now - timedelta(hours=1),
            "not_after": now + timedelta(days=365),
            "issuer": self.ca,
            "key_usage": ["digitalSignature", "nonRepudiation"],
            "ocsp_urls": ["http://ca.example/ocsp"],
            "crl_urls": ["http://ca.example/x.crl"],
        }
        return build_certificate(CertificateSpec(**{**fields, **changes}), self.key)  # type: ignore[arg-type]

    def crl(self, url: str) -> bytes:
        raise Unavailable(f"{url} does not answer.", "无响应。")

    def issuer(self, url: str) -> bytes:
        self.asked.append(url)
        return self.ca.der

    def timestamp(self, url: str, request: bytes) -> bytes:
        self.asked.append(url)
        return self.world.ca.timestamp(request)

    def ocsp(self, url: str, request: bytes) -> bytes:
        self.asked.append(url)
        if self.status == "down":
            raise Unavailable(f"{url} does not answer.", "无响应。")
        asked = ocsp.OcspRequest.parse(request)
        now = self.world.now()
        answer = ocsp.Answer(asked.cert_ids[0], self.status, now, now + timedelta(days=1), now, None)
        return ocsp.build_response([answer], self.key, self.ca, produced_at=now)


@pytest.fixture
def outside(world: World, monkeypatch: pytest.MonkeyPatch) -> Outside:
    made = Outside(world, Suite.SM2)
    monkeypatch.setattr(world.ca.outside, "client", made)
    monkeypatch.setattr(world.ca.timestamps, "client", made)
    return made


def test_an_outside_certificate_is_imported_and_its_ocsp_used(world: World, outside: Outside) -> None:
    generation = world.keys.new("seal_holder", Suite.SM2)
    request = world.ca.csr(generation, Subject("云江市市场监督管理局", "云江市市场监督管理局"), es_id="31000000000007")
    certificate = outside.issue(request, es_id="31000000000007")
    chain = (outside.root.pem() + outside.ca.pem()).encode()
    made = world.ca.import_certificate(generation, certificate.pem().encode(), chain, es_id="31000000000007")
    assert world.ca.outside.hosts() == {"ca.example"}
    assert (made.origin, made.status, made.es_id) == ("outside", "good", "31000000000007")
    assert world.ca.certificates(generation.id) == [certificate]
    assert world.ca.chain(certificate) == [certificate, outside.ca, outside.root]
    response = ocsp.OcspResponse.parse(world.ca.ocsp_for(certificate) or b"")
    assert response.signer(outside.ca) == outside.ca
    assert outside.asked == ["http://ca.example/ocsp"]  # at import; ten minutes later again
    world.offset = timedelta(minutes=11)
    world.ca.ocsp_for(certificate)
    assert outside.asked == ["http://ca.example/ocsp"] * 2
    again = world.ca.import_certificate(generation, certificate.der, [outside.ca, outside.root], es_id="31000000000007")
    assert again.id == made.id
    with pytest.raises(errors.OutsideCertificate):
        world.ca.hold(certificate.serial)
    kept = world.ca.outside.keep_request(made.id, {"wanted": "revoke", "letter": "云市监〔2026〕1号"})
    world.ca.outside.keep_answer(kept, {"reply": "已吊销"}, revoked_at=world.now())
    assert world.ca.record(made.id).status == "revoked"
    assert world.ca.outside.requests(made.id)[0]["answer"] == {"reply": "已吊销"}


def test_certificates_that_do_not_fit_are_refused_by_name(world: World, outside: Outside) -> None:
    generation = world.keys.new("seal_holder", Suite.SM2)
    request = world.ca.csr(generation, Subject("云江市", "云江市"))
    chain = [outside.ca, outside.root]
    now = world.now()
    other = SoftwareKey.generate(Suite.SM2)
    stranger = Outside(world, Suite.SM2)
    cases: list[tuple[type[XinyinError], Certificate, list[Certificate]]] = [
        (errors.ForeignKey, outside.issue(request, public_key=other.public_key), chain),
        (errors.OutsideValidity, outside.issue(request, not_after=now - timedelta(minutes=1)), chain),
        (errors.OutsideValidity, outside.issue(request, not_before=now + timedelta(hours=1)), chain),
        (errors.BrokenChain, outside.issue(request), [outside.root]),
        (errors.BrokenChain, outside.issue(request), [outside.ca]),
        (errors.BrokenChain, outside.issue(request), [stranger.ca, stranger.root]),  # same names, other keys
        (errors.WrongUsage, outside.issue(request, key_usage=["keyEncipherment"]), chain),
        (errors.WrongUsage, outside.issue(request, is_ca=True, key_usage=["keyCertSign", "digitalSignature"]), chain),
        (errors.WrongSeal, outside.issue(request, es_id="99"), chain),
    ]
    for expected, certificate, issuers in cases:
        with pytest.raises(expected) as refusal:
            world.ca.import_certificate(generation, certificate.der, issuers, es_id="31000000000007")
        assert type(refusal.value) is expected
        assert refusal.value.message_zh
    outside.status = "revoked"
    with pytest.raises(errors.AlreadyRevoked):
        world.ca.import_certificate(generation, outside.issue(request).der, chain)
    assert world.ca.certificates(generation.id) == []


def test_a_tsa_certificate_must_be_for_timestamps(world: World, outside: Outside) -> None:
    generation = world.keys.new("tsa", Suite.SM2)
    request = world.ca.csr(generation, Subject("时间戳", "云江市"), profile="tsa")
    with pytest.raises(errors.WrongUsage, match=r"1\.3\.6\.1\.5\.5\.7\.3\.8"):
        world.ca.import_certificate(generation, outside.issue(request).der, [outside.ca, outside.root], profile="tsa")


def test_an_outside_status_that_cannot_be_had_is_a_named_refusal(world: World, outside: Outside) -> None:
    generation = world.keys.new("seal_holder", Suite.SM2)
    certificate = outside.issue(world.ca.csr(generation, Subject("云江市", "云江市")))
    outside.status = "down"
    world.ca.import_certificate(generation, certificate.der, [outside.ca, outside.root])
    assert world.ca.ocsp_for(certificate) is None  # there is a CRL address to try
    with pytest.raises(StatusUnavailable):
        world.ca.crl_for(certificate)
    assert world.ca.crl_for(outside.ca) is None  # names no list


def test_an_outside_answer_that_proves_nothing_is_not_used(world: World, outside: Outside) -> None:
    """Signed by another key, or about another certificate, or out of date: each as good as no answer."""
    generation = world.keys.new("seal_holder", Suite.SM2)
    certificate = outside.issue(world.ca.csr(generation, Subject("云江市", "云江市")), crl_urls=[])
    world.ca.import_certificate(generation, certificate.der, [outside.ca, outside.root])
    now, stranger = world.now(), Outside(world, Suite.SM2)
    good = ocsp.Answer(ocsp.CertId.of(certificate, outside.ca), "good", now, now + timedelta(days=1))
    stale = ocsp.Answer(good.cert_id, "good", now - timedelta(days=9), now - timedelta(days=8))
    other = ocsp.Answer(ocsp.CertId.of(outside.ca, outside.root), "good", now, now + timedelta(days=1))
    world.offset = timedelta(minutes=20)
    for answer, key in ((good, stranger.key), (stale, outside.key), (other, outside.key)):
        der = ocsp.build_response([answer], key, outside.ca, produced_at=now)
        outside.ocsp = lambda url, request, der=der: der  # type: ignore[method-assign, misc]
        with pytest.raises(StatusUnavailable):
            world.ca.ocsp_for(certificate)
    der = ocsp.build_response([good], outside.key, outside.ca, produced_at=now)
    outside.ocsp = lambda url, request: der  # type: ignore[method-assign]
    assert world.ca.ocsp_for(certificate) == der


def test_the_issuer_of_a_strangers_certificate_is_fetched_and_checked(world: World, outside: Outside) -> None:
    key = SoftwareKey.generate(Suite.SM2)
    request = pkcs10.build_request(Subject("外部时间戳"), key)
    stranger = outside.issue(request, serial=2**90, ca_issuer_urls=["http://ca.example/ca.crt"])
    assert world.ca.ocsp_for(stranger) is not None
    assert outside.asked[0] == "http://ca.example/ca.crt"


def test_an_outside_timestamp_service_is_used_and_its_answer_checked(world: World, outside: Outside) -> None:
    config = replace(world.ca.config, outside_timestamps="http://tsa.example/tsa")
    stamps = Timestamps(world.ca.register, world.keys, config, outside, world.now)
    imprint = digest(DigestAlgorithm.SHA256, b"x")
    assert tsp.TimestampToken.parse(stamps.token(DigestAlgorithm.SHA256, imprint)).imprint == imprint
    assert outside.asked == ["http://tsa.example/tsa"]
    replayed = world.ca.timestamp(tsp.build_request(DigestAlgorithm.SHA256, imprint))
    outside.timestamp = lambda url, request: replayed  # type: ignore[method-assign]
    with pytest.raises(tsp.TimestampRefused):
        stamps.token(DigestAlgorithm.SHA256, imprint)
    stamps = Timestamps(world.ca.register, world.keys, config, None, world.now)
    with pytest.raises(Misconfigured):
        stamps.token(DigestAlgorithm.SHA256, imprint)


# --- timestamps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(DigestAlgorithm), ids=str)
def test_sm3_is_stamped_by_the_sm2_unit_and_the_rest_by_the_rsa_unit(world: World, algorithm: DigestAlgorithm) -> None:
    imprint = digest(algorithm, b"document")
    token = tsp.TimestampToken.parse(world.ca.timestamp_token(algorithm, imprint))
    assert token.certificate is not None
    expected = Suite.SM2 if algorithm is DigestAlgorithm.SM3 else Suite.RSA
    assert token.certificate.public_key.suite is expected
    assert token.certificate.extended_key_usage == {"1.3.6.1.5.5.7.3.8"}
    assert "2.5.29.37" in token.certificate.critical_extensions
    assert (token.digest, token.imprint) == (algorithm, imprint)
    assert token.stamps([b"document"])
    assert abs((token.gen_time - world.now()).total_seconds()) < 5
    assert token.accuracy_seconds == 1
    assert token.policy == world.ca.config.timestamp_policy


def test_timestamp_serials_do_not_repeat(world: World) -> None:
    imprint = digest(DigestAlgorithm.SHA256, b"x")
    tokens = [tsp.TimestampToken.parse(world.ca.timestamp_token(DigestAlgorithm.SHA256, imprint)) for _ in range(20)]
    assert len({t.serial for t in tokens}) == 20


def test_bad_timestamp_requests_are_answered_with_their_failure(world: World) -> None:
    imprint = digest(DigestAlgorithm.SHA256, b"x")
    good = tsp.build_request(DigestAlgorithm.SHA256, imprint)
    assert tsp.parse_response(world.ca.timestamp(good)).granted
    foreign_policy = tsp.build_request(DigestAlgorithm.SHA256, imprint, policy="1.2.3.4")
    sha1 = good.replace(bytes.fromhex("0609608648016503040201"), bytes.fromhex("0609608648016503040203"))
    cases = [
        (b"nonsense", tsp.Failure.BAD_DATA_FORMAT),
        (b"", tsp.Failure.BAD_DATA_FORMAT),
        (foreign_policy, tsp.Failure.UNACCEPTED_POLICY),
        (sha1, tsp.Failure.BAD_DATA_FORMAT),  # a SHA-512 of 32 bytes
    ]
    for request, failure in cases:
        answer = tsp.parse_response(world.ca.timestamp(request))
        assert (answer.granted, answer.failure) == (False, failure)
    world.keys.locked = set(world.keys.generations)
    answer = tsp.parse_response(world.ca.timestamp(good))
    assert (answer.granted, answer.failure) == (False, tsp.Failure.SYSTEM_FAILURE)


def test_lint_names_each_broken_rule(world: World) -> None:
    """A certificate wrong in many ways is told each of them, and refuse() refuses it."""
    key, issuer_key = SoftwareKey.generate(Suite.P256), SoftwareKey.generate(Suite.P256)
    now = world.now()
    issuer = build_certificate(
        CertificateSpec(
            Subject("CA", "CA"), issuer_key.public_key, 2**100, now, now + timedelta(days=9), is_ca=True, key_usage=["cRLSign"]
        ),
        issuer_key,
    )
    bad = build_certificate(
        CertificateSpec(
            Subject("某"),
            key.public_key,
            5,
            now - timedelta(days=1),
            now + timedelta(days=2000),
            issuer=issuer,
            key_usage=["keyEncipherment"],
            extended_key_usage=["1.3.6.1.5.5.7.3.1"],
            ocsp_urls=["https://ca.example/ocsp"],
            ocsp_nocheck=True,
        ),
        issuer_key,
    )
    codes = {f.code for f in lint(bad, issuer, profile("seal-holder"), sample=True)}
    assert codes == {
        "serial",
        "subject-incomplete",
        "sample-mark",
        "validity-outside-issuer",
        "validity-long",
        "key-usage",
        "extended-key-usage",
        "issuer-usage",
        "es-id",
        "status-pointers",
        "status-scheme",
        "ocsp-nocheck",
    }
    with pytest.raises(LintRefused):
        refuse(lint(bad, issuer, profile("seal-holder"), sample=True))
