"""The seal registry and the path of a sealed document."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pypdfium2
import pytest
import sqlalchemy as sa
from PIL import Image

from crypto.suites import Suite
from formats import ses
from formats.identifiers import check_char
from formats.pdf.errors import OutsideCommonCase
from people.schemas import ANONYMOUS
from policies.authorise import NotAllowed
from seals import sealing
from seals.models import ImpressionRow, SealRow
from seals.picture import draw, imported, standard_spec
from seals.schemas import (
    ApplicationNeeded,
    ApplicationStateRefused,
    BadSeal,
    ImpressionStateRefused,
    NoCertificate,
    NoSuchSeal,
    NoSuchSuite,
    SealNotInForce,
    SealStateRefused,
    is_es_id,
)
from seals.sealing import Placement
from store.intents import IdempotencyMismatch
from store.models import AuditLeafRow, KeyUseRow
from tests.integration.seals_world import APPROVAL, APPROVALS, MARKET, OPERATOR, REGION, World, staff

AT = Placement(2, 137, 175)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def seal(world: World) -> dict:  # type: ignore[type-arg]
    return world.seal()


@pytest.fixture
def clock(world: World) -> Iterator[World]:
    yield world
    world.offset = timedelta()


def test_a_seal_has_an_es_id_keys_and_certificates_in_three_suites(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    assert seal["status"] == "in-force"
    assert is_es_id(seal["es_id"])
    assert seal["es_id"].startswith(REGION)
    assert seal["es_id"][-1] == check_char(seal["es_id"][:-1])
    assert {c["suite"] for c in seal["certificates"]} == {"sm2", "rsa", "p256"}
    assert all(c["status"] == "good" for c in seal["certificates"])
    assert world.seals.show(OPERATOR, seal["es_id"]) == seal


def test_the_seal_maker_signed_a_ses_seal_that_lists_the_sm2_certificate(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    made = ses.parse_seal(world.blobs.get(seal["versions"][0]["ses_sha256"]))
    assert (made.version, made.es_id, made.name) == (4, seal["es_id"], seal["name"])
    assert made.maker_signature_holds()
    assert made.maker_certificate.public_key.suite is Suite.SM2
    sm2 = next(c for c in world.ca.records(es_id=seal["es_id"]) if c.certificate.public_key.suite is Suite.SM2)
    assert made.lists(sm2.certificate.der)
    assert (made.picture.width_mm, made.picture.height_mm) == (42, 42)
    assert made.picture.data == world.seals.picture(seal["id"]).png


@pytest.mark.parametrize(("suite", "format"), [("rsa", "pades"), ("p256", "pades"), ("sm2", "gm"), ("sm2", "gm35275")])
def test_a_document_is_sealed_and_registered(world: World, seal: dict, suite: str, format: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    impression, data = world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], suite=suite, format=format, placement=AT)
    assert data.startswith(APPROVAL)
    assert impression["document_sha256"] == hashlib.sha256(data).hexdigest()
    assert (impression["suite"], impression["format"], impression["page"]) == (suite, format, 2)
    assert impression["rule"] == "default-matter"
    assert world.seals.show_impression(OPERATOR, impression["id"]) == impression
    status = world.seals.impression_statuses.status(impression["document_sha256"])
    assert status is not None
    assert status.status == "valid"
    if suite == "rsa":
        path = tmp_path / "sealed.pdf"
        path.write_bytes(data)
        out = subprocess.run(["pdfsig", "-nocert", path], capture_output=True, text=True).stdout
        assert "Signature is Valid" in out
        assert "Total document signed" in out


@pytest.mark.parametrize("writer", ["fast", "pyhanko"])
def test_archive_material_behind_a_signature_does_not_hide_what_was_signed(
    world: World,
    seal: dict,  # type: ignore[type-arg]
    writer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if writer == "pyhanko":

        def outside(*args: object, **kwargs: object) -> None:
            raise OutsideCommonCase("asked for by the test")

        monkeypatch.setattr(sealing._Job, "_seal_fast", outside)
    impression, data = world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], level="LTA", placement=AT)
    with world.db.read() as session:
        row = session.get_one(ImpressionRow, impression["id"])
    assert row.writer == writer
    signature, timestamp = [b"".join(m.groups()) for m in re.finditer(rb"/ByteRange\s*\[([^\]]+)\]", data)]
    ends = [sum(int(n) for n in found.split()[2:]) for found in (signature, timestamp)]
    assert row.revision_sha256 == hashlib.sha256(data[: min(ends)]).hexdigest()
    assert row.document_sha256 == hashlib.sha256(data[: max(ends)]).hexdigest()
    assert world.seals.impression_statuses.status(row.revision_sha256) is not None


def test_the_default_form_is_pades_with_rsa_and_gm_where_sm2_is_the_only_suite(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    assert world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)[0]["suite"] == "rsa"
    only = world.seal("云江市水务局", suites=("sm2",))
    impression, _ = world.seals.apply(OPERATOR, APPROVAL, seal_id=only["id"], placement=AT)
    assert (impression["suite"], impression["format"]) == ("sm2", "gm")
    for wrong in ({"suite": "rsa"}, {"format": "pades"}, {"suite": "sm2", "format": "pades"}):
        with pytest.raises(NoSuchSuite):
            world.seals.apply(OPERATOR, APPROVAL, seal_id=only["id"], placement=AT, **wrong)  # type: ignore[arg-type]


def _count(world: World, table: type, *conditions: sa.ColumnElement[bool]) -> int:
    with world.db.read() as session:
        return int(session.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0)


def test_the_same_key_gives_the_same_document_even_to_two_at_once(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    before = _count(world, ImpressionRow)

    def once(_: int) -> tuple[str, bytes]:
        from store.intents import StillRunning

        while True:
            try:
                impression, data = world.seals.apply(
                    OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT, idempotency_key="approval-118"
                )
                return impression["id"], data
            except StillRunning:
                continue

    with ThreadPoolExecutor(4) as pool:
        results = set(pool.map(once, range(4)))
    assert len(results) == 1
    assert _count(world, ImpressionRow) == before + 1
    [(impression_id, _)] = results
    assert _count(world, AuditLeafRow, AuditLeafRow.kind == "seal.applied", AuditLeafRow.body.contains(impression_id)) == 1
    with pytest.raises(IdempotencyMismatch):
        world.seals.apply(
            OPERATOR, APPROVAL, seal_id=seal["id"], placement=Placement(1, 100, 100), idempotency_key="approval-118"
        )


def test_every_use_of_the_seal_s_key_belongs_to_an_attempt(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    impression, _ = world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)
    uses = _count(world, KeyUseRow, KeyUseRow.intent_id == impression["intent"], KeyUseRow.attempt == impression["attempt"])
    assert uses == 1


def test_a_suspended_seal_seals_nothing_and_its_certificates_are_on_hold(clock: World) -> None:
    world = clock
    seal = world.seal("云江市城市管理局")
    before = world.now()
    world.offset = timedelta(hours=1)
    stopped = world.seals.suspend(OPERATOR, seal["id"], reason="印章管理员离岗")
    assert stopped["status"] == "suspended"
    assert {c["status"] for c in stopped["certificates"]} == {"hold"}
    with pytest.raises(SealNotInForce) as caught:
        world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)
    assert "停用" in caught.value.message_zh
    # Asked again it finishes what a crash may have left, and records nothing twice.
    assert len(world.seals.suspend(OPERATOR, seal["id"], reason="again")["events"]) == 2
    world.offset = timedelta(hours=2)
    resumed = world.seals.resume(OPERATOR, seal["id"], reason="交接完成")
    assert {c["status"] for c in resumed["certificates"]} == {"good"}
    world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)

    def at(moment: object) -> str | None:
        found = world.seals.status(seal["es_id"], moment)  # type: ignore[arg-type]
        return found.status if found else None

    assert at(before - timedelta(days=1)) is None
    assert at(before) == "in-force"
    assert at(before + timedelta(hours=1, minutes=30)) == "suspended"
    assert at(world.now()) == "in-force"
    assert at(world.now() + timedelta(days=4 * 365)) == "expired"


def test_a_certificate_revoked_by_itself_signs_no_more(clock: World) -> None:
    world = clock
    seal = world.seal("云江市水务局")
    world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT, suite="rsa")
    (rsa,) = [r for r in world.ca.records(es_id=seal["es_id"]) if r.certificate.public_key.suite == "rsa"]
    world.ca.revoke(rsa.serial, "keyCompromise")
    service = world.opened_seals()  # another process; this one would go on for five seconds at most
    with pytest.raises(NoCertificate):
        service.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT, suite="rsa")
    service.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT, suite="p256")


def test_revoking_a_seal_revokes_every_certificate_of_it_for_good(world: World) -> None:
    seal = world.seal("云江市民政局")
    gone = world.seals.revoke(OPERATOR, seal["id"], reason="机构撤并")
    assert {c["status"] for c in gone["certificates"]} == {"revoked"}
    for verb in (world.seals.suspend, world.seals.resume):
        with pytest.raises(SealStateRefused):
            verb(OPERATOR, seal["id"], reason="x")
    with pytest.raises(SealNotInForce):
        world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)


def test_a_seal_that_is_stopped_while_it_signs_publishes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seal = world.seal("云江市司法局")
    before = _count(world, ImpressionRow)
    inner = world.seals.seal_within

    def stopped_meanwhile(*args: object, **kwargs: object) -> object:
        sealed = inner(*args, **kwargs)  # type: ignore[arg-type]
        world.seals.revoke(OPERATOR, seal["id"], reason="密钥失控")
        return sealed

    monkeypatch.setattr(world.seals, "seal_within", stopped_meanwhile)
    with pytest.raises(SealNotInForce):
        world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)
    assert _count(world, ImpressionRow) == before


def test_a_seal_without_the_sample_mark_needs_an_application_that_somebody_else_signed_off(world: World) -> None:
    wish = {"owner_name": "云江市财政局", "owner_uscc": APPROVALS, "sample": False}
    with pytest.raises(ApplicationNeeded):
        world.seals.create(OPERATOR, **wish)  # type: ignore[arg-type]
    handler = staff("account_h", "handler", "signer_off", department=APPROVALS)
    signer = staff("account_s", "signer_off", department=APPROVALS)
    put = world.seals.applications.submit(
        handler, purpose="make-seal", department=APPROVALS, facts={"owner_uscc": APPROVALS, "name": "云江市财政局"}
    )
    with pytest.raises(ApplicationNeeded):
        world.seals.create(OPERATOR, **wish, approved_application=put["id"])  # type: ignore[arg-type]
    with pytest.raises(NotAllowed):
        world.seals.applications.sign_off(handler, put["id"])
    assert world.seals.applications.sign_off(signer, put["id"])["status"] == "signed-off"
    with pytest.raises(ApplicationNeeded):
        world.seals.create(OPERATOR, **{**wish, "name": "云江市人民政府"}, approved_application=put["id"])  # type: ignore[arg-type]
    made = world.seals.create(OPERATOR, **wish, approved_application=put["id"])  # type: ignore[arg-type]
    assert made["sample"] is False
    with pytest.raises(ApplicationNeeded):  # an application serves once
        world.seals.create(OPERATOR, **wish, approved_application=put["id"])  # type: ignore[arg-type]
    with pytest.raises(ApplicationStateRefused):
        world.seals.applications.refuse(signer, put["id"], reason="太晚")


def test_the_picture_of_a_real_seal_is_imported_on_an_approved_application_only(world: World) -> None:
    picture = imported(draw(standard_spec("statutory-city", "云江市人民政府", sample=False)).png, width_mm=45, height_mm=45)
    wish = {"owner_name": "云江市人民政府", "owner_uscc": APPROVALS, "kind": "statutory-city", "picture": picture}
    with pytest.raises(BadSeal):
        world.seals.create(OPERATOR, **wish)  # type: ignore[arg-type]
    handler, signer = (
        staff("account_h", "handler", department=APPROVALS),
        staff("account_s", "signer_off", department=APPROVALS),
    )
    put = world.seals.applications.submit(handler, purpose="make-seal", department=APPROVALS)
    world.seals.applications.sign_off(signer, put["id"])
    made = world.seals.create(OPERATOR, **wish, sample=False, approved_application=put["id"])  # type: ignore[arg-type]
    assert world.seals.picture(made["id"]) == picture
    _, data = world.seals.apply(OPERATOR, APPROVAL, seal_id=made["id"], placement=AT)
    assert data.startswith(APPROVAL)


def test_a_named_application_to_seal_must_be_for_this_seal_and_document(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    keeper = staff("account_k", "seal_keeper")
    handler, signer = staff("account_h", "handler"), staff("account_s", "signer_off")
    digest = hashlib.sha256(APPROVAL).hexdigest()
    put = world.seals.applications.submit(
        handler, purpose="use-seal", department=MARKET, seal_id=seal["id"], document_sha256=digest, matter="A-118"
    )
    with pytest.raises(NotAllowed):
        world.seals.apply(keeper, APPROVAL, seal_id=seal["id"], placement=AT, application=put["id"])
    world.seals.applications.sign_off(signer, put["id"])
    with pytest.raises(ApplicationNeeded):
        world.seals.apply(keeper, APPROVAL + b"\n", seal_id=seal["id"], placement=AT, application=put["id"])
    impression, _ = world.seals.apply(keeper, APPROVAL, seal_id=seal["id"], placement=AT, application=put["id"])
    assert impression["rule"] == "signed-off-application"
    assert impression["application"] == put["id"]
    assert [i["id"] for i in world.seals.applications.list(handler).items] == [put["id"]]
    assert world.seals.applications.list(staff("x", "handler", department="dept_other")).items == []


def test_strangers_neither_seal_nor_look(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    for actor in (ANONYMOUS, staff("account_x", "seal_keeper", department=APPROVALS)):
        with pytest.raises(NotAllowed):
            world.seals.apply(actor, APPROVAL, seal_id=seal["id"], placement=AT)
        with pytest.raises(NoSuchSeal):  # as if it were not there
            world.seals.show(actor, seal["id"])
        with pytest.raises(NoSuchSeal):
            world.seals.revoke(actor, seal["id"], reason="x")
    other = {s["owner_uscc"] for s in world.seals.list(staff("x", "seal_keeper", department=APPROVALS)).items}
    assert other <= {APPROVALS}
    with pytest.raises(NoSuchSeal):
        world.seals.show(OPERATOR, "seal_none")


def test_a_sealed_document_can_be_voided_or_replaced_once(world: World, seal: dict) -> None:  # type: ignore[type-arg]
    first, _ = world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)
    second, _ = world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=AT)
    with pytest.raises(ImpressionStateRefused):
        world.seals.void(OPERATOR, first["id"], reason="x", replaced_by=first["id"])
    voided = world.seals.void(OPERATOR, first["id"], reason="文号有误", replaced_by=second["id"])
    assert voided["status"] == "replaced"
    status = world.seals.impression_statuses.status(first["document_sha256"])
    assert status is not None
    assert (status.status, status.replaced_by, status.reason) == ("replaced", second["id"], "文号有误")
    with pytest.raises(ImpressionStateRefused):
        world.seals.void(OPERATOR, first["id"], reason="again")
    listed = world.seals.list_impressions(OPERATOR, seal_id=seal["es_id"], limit=1)
    assert len(listed.items) == 1
    assert listed.next is not None
    assert world.seals.list_impressions(OPERATOR, seal_id=seal["id"], limit=1, cursor=listed.next).items != listed.items


def test_a_seal_being_made_is_finished_by_the_same_request_after_a_crash(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = {"owner_name": "云江市教育局", "owner_uscc": APPROVALS, "idempotency_key": "make-1"}
    calls = 0
    issue = world.ca.issue

    def second_fails(**kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("the power went")
        return issue(**kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(world.ca, "issue", second_fails)
    with pytest.raises(RuntimeError):
        world.seals.create(OPERATOR, **wish)  # type: ignore[arg-type]
    roles = len(world.keys.roles)
    monkeypatch.undo()
    made = world.seals.create(OPERATOR, **wish)  # type: ignore[arg-type]
    assert len(world.keys.roles) == roles
    assert len(made["certificates"]) == 3
    assert world.seals.create(OPERATOR, **wish)["id"] == made["id"]  # type: ignore[arg-type]
    assert _count(world, SealRow, SealRow.name == "云江市教育局") == 1


@pytest.mark.parametrize(
    "wish", [{"owner_uscc": "12"}, {"owner_name": " "}, {"suites": ()}, {"suites": ("dsa",)}, {"kind": "royal"}]
)
def test_a_seal_that_makes_no_sense_is_refused(world: World, wish: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(BadSeal):
        world.seal(**{"name": "云江市某局", **wish})


def test_the_sealed_approval_shows_the_seal_in_its_place_and_nowhere_else(world: World) -> None:
    approvals = world.seal("云江市行政审批局", owner_uscc=APPROVALS)
    _, data = world.seals.apply(OPERATOR, APPROVAL, seal_id=approvals["id"], placement=AT)
    with pypdfium2.PdfDocument(data) as pdf:
        pdf.init_forms()
        image = pdf[1].render(scale=150 / 72).to_pil().convert("RGB")
    side = 150 / 25.4
    left, top = round((137 - 21) * side), round((175 - 21) * side)
    crop = image.crop((left, top, left + round(42 * side), top + round(42 * side)))
    assert 0.08 < _red(crop) < 0.4
    assert _red(image.crop((0, 0, image.width, top - 3))) == 0


def _red(image: Image.Image) -> float:
    """Share of seal-red pixels."""
    raw = image.tobytes()
    pixels = zip(raw[0::3], raw[1::3], raw[2::3], strict=True)
    return sum(1 for r, g, b in pixels if r > 150 and g < 90 and b < 90) / (image.width * image.height)
