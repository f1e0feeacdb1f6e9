"""Licences: issued once and for good, numbered without doubles, and what becomes of them later."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
import sqlalchemy as sa
import zxingcpp
from PIL import Image

from formats import codes, pdfa
from formats.identifiers import LicenceIdentifier
from licences import guilloche
from licences.catalogue import BadLicenceData, UnknownLicenceType, licence_type
from licences.events import BadEffectiveTime, LicenceStateRefused, state_at
from licences.models import AuthorityRow, LicenceRow, SerialRow
from licences.service import LicenceService, NoAuthority, NoSuchLicence, NotArchivable
from people.schemas import ANONYMOUS
from policies.authorise import NotAllowed
from seals.schemas import SealNotInForce
from store.intents import StillRunning
from store.models import AuditLeafRow, KeyUseRow
from tests.integration.seals_world import APPROVALS, MARKET, OPERATOR, World, staff

DATA: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "examples" / "licence.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("node"))
    made.seal()
    made.seal("云江市行政审批局", owner_uscc=APPROVALS)
    return made


@pytest.fixture(scope="module")
def licences(world: World) -> LicenceService:
    return _service(world)


def _service(world: World) -> LicenceService:
    return LicenceService(
        world.db, world.keys, world.seals, world.intents, world.audit, world.blobs, world.authoriser, "310000", now=world.now
    )


@pytest.fixture(scope="module")
def issued(licences: LicenceService) -> tuple[dict[str, Any], bytes]:
    return licences.issue(OPERATOR, "business-licence", DATA)


@pytest.fixture
def clock(world: World) -> Iterator[World]:
    yield world
    world.offset = timedelta()


def _count(world: World, table: type, *conditions: sa.ColumnElement[bool]) -> int:
    with world.db.read() as session:
        return int(session.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0)


def test_an_issued_licence_has_an_identifier_a_seal_and_its_metadata(
    world: World, licences: LicenceService, issued: tuple[dict[str, Any], bytes], tmp_path: Path
) -> None:
    licence, data = issued
    identifier = LicenceIdentifier.parse(licence["identifier"])
    assert identifier.remarks() == []
    assert (identifier.type_code, identifier.issuer_code) == ("11100000MB0143028R001", MARKET)
    assert licence["issuer"] == "云江市市场监督管理局"  # the one organ here that issues business licences
    with pikepdf.open(io.BytesIO(data)) as pdf:
        attached = json.loads(pdf.attachments["metadata.json"].get_file().read_bytes())
    assert attached["ZZBS"] == licence["identifier"]
    assert attached["CZZT"] == DATA["name"]
    assert (attached["CZZTDM"], attached["CZZTDMLXDM"]) == (DATA["uscc"], "001")
    assert (attached["ZZYXQQSRQ"], attached["ZZYXQJZRQ"]) == ("20190418", "99991231")
    path = tmp_path / "licence.pdf"
    path.write_bytes(data)
    assert "Signature is Valid" in subprocess.run(["pdfsig", "-nocert", path], capture_output=True, text=True).stdout
    assert licences.show(OPERATOR, licence["identifier"])["id"] == licence["id"]
    assert world.seals.show_impression(OPERATOR, licence["impression"])["document_sha256"] == licence["document_sha256"]


def test_the_sealed_licence_is_still_pdf_a(issued: tuple[dict[str, Any], bytes]) -> None:
    assert pdfa.check(issued[1]) == []


def _page(data: bytes, dpi: int) -> Image.Image:
    with pypdfium2.PdfDocument(data) as pdf:
        pdf.init_forms()
        return pdf[0].render(scale=dpi / 72).to_pil().convert("L")


@pytest.mark.parametrize("dpi", [150, 300])
def test_the_printed_code_leads_to_verification_and_is_signed_by_the_issuer(
    licences: LicenceService, issued: tuple[dict[str, Any], bytes], dpi: int
) -> None:
    licence, data = issued
    [found] = zxingcpp.read_barcodes(_page(data, dpi))
    code = codes.decode(found.text)
    [(name, role)] = licences.issuing_roles()
    seals = licences.seals
    [certificate] = seals.ca.certificates(seals.keys.active(role).id)
    assert code.verify(certificate.public_key)
    assert name == code.claims.issuer
    assert (code.claims.subject, code.claims.holder) == (licence["identifier"], DATA["name"])
    assert code.claims.sample


def test_names_scope_and_addresses_of_any_permitted_length_fit_the_page(licences: LicenceService) -> None:
    long = {
        **DATA,
        "name": "云" * 80,
        "type": "有" * 60,
        "representative": "欧" * 40,
        "capital": "壹" * 40,
        "address": "路" * 120,
        "scope": (DATA["scope"] * 20)[:1400],
    }
    _, data = licences.issue(OPERATOR, "营业执照", long)
    with pypdfium2.PdfDocument(data) as pdf:
        assert len(pdf) == 1
        text = "".join(pdf[0].get_textpage().get_text_bounded().split())
    for key in ("name", "type", "representative", "capital", "address", "scope"):
        assert long[key] in text, key
    page = _page(data, 100)
    # Nothing runs into the foot line or over the frame on the right.
    frame = page.crop((round(272 / 25.4 * 100), round(62 / 25.4 * 100), round(279 / 25.4 * 100), round(180 / 25.4 * 100)))
    assert min(frame.tobytes()) > 200


def test_every_problem_with_the_data_is_named_at_once_in_both_languages(licences: LicenceService) -> None:
    bad = {
        "uscc": "1234",
        "naem": "x",
        "name": "云\n江",
        "type": "有" * 61,
        "representative": " ",
        "capital": 500,
        "established": "2099-01-01",
        "valid_from": "2024-02-30",
        "valid_to": "2020-01-01",
        "scope": "x",
    }
    with pytest.raises(BadLicenceData) as caught:
        licences.issue(OPERATOR, "business-licence", bad)
    problems = {p["field"]: p["code"] for p in caught.value.detail["problems"]}
    assert problems == {
        "uscc": "uscc-form",
        "naem": "unknown-field",
        "name": "control-characters",
        "type": "too-long",
        "representative": "missing",
        "capital": "not-text",
        "established": "in-the-future",
        "valid_from": "not-a-date",
    }
    assert "name" in caught.value.message
    assert all(p["message"] and p["message_zh"] for p in caught.value.detail["problems"])
    with pytest.raises(BadLicenceData) as caught:
        licences.issue(OPERATOR, "business-licence", {**DATA, "valid_to": "2019-01-01"})
    assert [p["code"] for p in caught.value.detail["problems"]] == ["ends-before-start"]
    with pytest.raises(UnknownLicenceType):
        licences.issue(OPERATOR, "fishing-licence", DATA)


def test_a_wrong_check_character_is_remarked_upon_and_does_not_block() -> None:
    checked = licence_type("营业执照").check({**DATA, "uscc": "91310000MA1FL8QH2H"}, issued=date(2026, 11, 21))
    assert [r.code for r in checked.remarks] == ["uscc-check"]


def test_the_frames_on_file_are_the_ones_that_are_computed() -> None:
    for file, frame in guilloche.FRAMES.items():
        assert file.read_text(encoding="utf-8") == guilloche.svg(frame), file.name


def test_names_are_set_never_executed(licences: LicenceService) -> None:
    name = '#read("business-licence.typ") $x^2$ *粗*'
    _, data = licences.issue(OPERATOR, "business-licence", {**DATA, "name": name})
    with pypdfium2.PdfDocument(data) as pdf:
        text = pdf[0].get_textpage().get_text_bounded()
    assert "".join(name.split()) in "".join(text.split())


def test_serial_numbers_are_unique_and_without_gaps_under_concurrency(world: World, licences: LicenceService) -> None:
    before = _count(world, SerialRow)

    def one(i: int) -> str:
        key = f"batch-{i % 6}"
        while True:
            try:
                return str(licences.issue(OPERATOR, "business-licence", DATA, idempotency_key=key)[0]["identifier"])
            except StillRunning:
                continue

    with ThreadPoolExecutor(4) as pool:
        identifiers = list(pool.map(one, range(12)))
    assert len(set(identifiers)) == 6
    assert identifiers[:6] == identifiers[6:]
    with world.db.read() as session:
        numbers = sorted(session.scalars(sa.select(SerialRow.number)).all())
    assert numbers == list(range(1, before + 7))


def test_a_retry_after_a_failure_uses_the_number_of_the_first_attempt(
    world: World, licences: LicenceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = _count(world, SerialRow)

    def fails(*args: object, **kwargs: object) -> object:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(licences.seals, "seal_within", fails)
        with pytest.raises(RuntimeError):
            licences.issue(OPERATOR, "business-licence", DATA, idempotency_key="retry-1")
    licence, data = licences.issue(OPERATOR, "business-licence", DATA, idempotency_key="retry-1")
    assert int(licence["serial"]) == used + 1
    again, same = licences.issue(OPERATOR, "business-licence", DATA, idempotency_key="retry-1")
    assert (again["id"], same) == (licence["id"], data)
    assert _count(world, SerialRow) == used + 1
    with world.db.read() as session:
        intent = session.get_one(LicenceRow, licence["id"]).intent_id
    assert _count(world, KeyUseRow, KeyUseRow.intent_id == intent, KeyUseRow.attempt == 2) == 2
    leaves = _count(world, AuditLeafRow, AuditLeafRow.kind == "licence.issued", AuditLeafRow.body.contains(licence["id"]))
    assert leaves == 1


def test_a_licence_is_suspended_and_given_back(clock: World, licences: LicenceService) -> None:
    world = clock
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    world.offset = timedelta(days=1)
    assert licences.suspend(OPERATOR, licence["id"], basis="云市监暂〔2026〕1号")["state_zh"] == "暂扣"
    with pytest.raises(LicenceStateRefused):
        licences.suspend(OPERATOR, licence["id"], basis="again")
    with pytest.raises(LicenceStateRefused):
        licences.change(OPERATOR, licence["id"], DATA)
    world.offset = timedelta(days=2)
    assert licences.resume(OPERATOR, licence["id"], basis="整改完成")["status"] == "in-force"
    with pytest.raises(LicenceStateRefused):
        licences.resume(OPERATOR, licence["id"], basis="again")
    start = datetime.now(UTC)
    asked = [_status(licences, licence, start + timedelta(hours=h)) for h in (0, 30, 72)]
    assert asked == ["in-force", "suspended", "in-force"]


def _status(licences: LicenceService, licence: dict[str, Any], at: datetime, **known: datetime) -> str | None:
    found = licences.status_at(licence["identifier"], at, **known)
    return found.status if found else None


def test_an_annulment_may_act_from_the_start_and_the_others_only_forward(clock: World, licences: LicenceService) -> None:
    world = clock
    start = datetime.now(UTC)
    annulled, _ = licences.issue(OPERATOR, "business-licence", DATA)
    forfeited, _ = licences.issue(OPERATOR, "business-licence", DATA)
    world.offset = timedelta(days=10)
    with pytest.raises(BadEffectiveTime):
        licences.revoke(OPERATOR, forfeited["id"], kind="吊销", basis="x", effective=start.date())
    with pytest.raises(BadEffectiveTime):
        licences.revoke(OPERATOR, forfeited["id"], kind="没收", basis="x")
    licences.revoke(OPERATOR, annulled["id"], kind="撤销", basis="以欺骗手段取得", effective=start.date() - timedelta(days=400))
    licences.revoke(OPERATOR, forfeited["id"], kind="吊销", basis="处罚决定", effective=world.now() + timedelta(days=5))
    middle = start + timedelta(days=5)
    assert _status(licences, annulled, middle) == "withdrawn"
    assert _status(licences, annulled, middle, known_at=middle) == "in-force"  # what the register said on that day
    assert _status(licences, forfeited, middle) == "in-force"
    assert _status(licences, forfeited, start + timedelta(days=14)) == "in-force"
    ended = licences.status_at(forfeited["identifier"], start + timedelta(days=16))
    assert ended is not None
    assert (ended.status, ended.state_zh, ended.type_name) == ("withdrawn", "吊销", "营业执照")
    assert licences.status_at(annulled["identifier"], start - timedelta(days=1)) is None
    for verb in (licences.suspend, licences.resume):
        with pytest.raises(LicenceStateRefused):
            verb(OPERATOR, forfeited["id"], basis="x")
    with pytest.raises(LicenceStateRefused):
        licences.revoke(OPERATOR, forfeited["id"], kind="注销", basis="x")
    # It turns out later that it should never have been issued.
    assert licences.revoke(OPERATOR, forfeited["id"], kind="撤销", basis="x", effective=start.date())["state_zh"] == "撤销"
    assert licences.show(OPERATOR, annulled["id"], at=start - timedelta(days=1))["status"] == "not-yet-issued"


@pytest.mark.parametrize("kind", ["撤销", "撤回", "吊销", "注销"])
def test_without_a_day_an_end_counts_from_now(licences: LicenceService, kind: str) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    before = datetime.now(UTC)
    today = before.date() if kind == "注销" else None  # a day that has begun counts from now as well
    ended = licences.revoke(OPERATOR, licence["id"], kind=kind, basis="依据", effective=today)
    assert (ended["status"], ended["state_zh"]) == ("withdrawn", kind)
    if kind != "注销":
        assert _status(licences, licence, before) == "in-force"


def test_a_licence_expires_at_the_end_of_its_last_day_and_not_before(licences: LicenceService) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", {**DATA, "valid_to": "2030-06-30"})
    last = datetime(2030, 6, 30, 15, 59, 58, tzinfo=UTC)
    assert _status(licences, licence, last) == "in-force"
    assert _status(licences, licence, last + timedelta(seconds=3)) == "expired"


def test_a_licence_that_starts_later_is_not_valid_yet(licences: LicenceService) -> None:
    soon = (datetime.now(UTC) + timedelta(days=30)).date()
    licence, _ = licences.issue(OPERATOR, "business-licence", {**DATA, "valid_from": soon.isoformat()})
    assert licence["status"] == "not-yet-valid"
    assert _status(licences, licence, datetime.now(UTC) + timedelta(days=40)) == "in-force"


def test_a_change_makes_the_next_version_and_supersedes_the_old(licences: LicenceService) -> None:
    old, _ = licences.issue(OPERATOR, "business-licence", DATA)
    new, data = licences.change(OPERATOR, old["id"], {**DATA, "capital": "人民币800万元整"})
    assert (new["serial"], new["version"], new["replaces"]) == (old["serial"], 2, old["id"])
    assert licences.show(OPERATOR, old["id"])["status"] == "superseded"
    assert new["status"] == "in-force"
    assert pdfa.check(data) == []
    with pytest.raises(LicenceStateRefused):
        licences.change(OPERATOR, old["id"], DATA)


def test_who_may_not_issue_does_not(world: World, licences: LicenceService, issued: tuple[dict[str, Any], bytes]) -> None:
    stranger = staff("account_x", "licensing_clerk", department=APPROVALS)
    for actor in (ANONYMOUS, stranger, staff("account_y", "handler")):
        with pytest.raises(NotAllowed):
            licences.issue(actor, "business-licence", DATA)
        with pytest.raises((NotAllowed, NoSuchLicence)):
            licences.revoke(actor, issued[0]["id"], kind="吊销", basis="x")
    clerk = staff("account_c", "licensing_clerk")
    assert licences.issue(clerk, "business-licence", DATA)[0]["status"] == "in-force"
    for nobody in (ANONYMOUS, stranger):  # as if it were not there
        with pytest.raises(NoSuchLicence):
            licences.show(nobody, issued[0]["id"])
    assert licences.list(stranger).items == []
    page = licences.list(clerk, limit=2)
    assert len(page.items) == 2
    assert page.next is not None
    with pytest.raises(NoSuchLicence):
        licences.show(OPERATOR, "licence_none")


def test_whoever_may_not_issue_appoints_nobody_and_makes_no_key(world: World, licences: LicenceService) -> None:
    other = world.seal("云江市数据局", owner_uscc=APPROVALS, suites=("p256",))

    def appointed() -> tuple[int, int, list[str]]:
        return _count(world, AuthorityRow), len(world.keys.roles), [name for name, _ in licences.issuing_roles()]

    before = appointed()
    for actor in (staff("account_h", "handler"), staff("account_c", "licensing_clerk"), staff("account_a", "auditor")):
        with pytest.raises(NotAllowed):
            licences.issue(actor, "business-licence", DATA, seal_id=other["id"])
    assert appointed() == before


def test_a_node_with_no_or_two_fitting_organs_asks_which(tmp_path: Path) -> None:
    world = World(tmp_path)
    service = _service(world)
    with pytest.raises(NoAuthority):
        service.issue(OPERATOR, "business-licence", DATA)
    world.seal("云江市市场监督管理局", suites=("p256",))
    other = world.seal("滨江区市场监督管理局", owner_uscc=APPROVALS, suites=("p256",))
    with pytest.raises(NoAuthority):
        service.issue(OPERATOR, "business-licence", DATA)
    licence, _ = service.issue(OPERATOR, "business-licence", DATA, seal_id=other["id"])
    assert licence["issuer"] == "滨江区市场监督管理局"
    assert service.issue(OPERATOR, "business-licence", DATA)[0]["issuer"] == "滨江区市场监督管理局"  # appointed by then
    world.seals.suspend(OPERATOR, other["id"], reason="x")
    with pytest.raises(SealNotInForce):
        service.issue(OPERATOR, "business-licence", DATA)


def test_a_template_that_breaks_pdf_a_issues_nothing(
    world: World, licences: LicenceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _count(world, LicenceRow)
    monkeypatch.setattr(pdfa, "check", lambda data: [pdfa.Finding("font-embedding", "6.2.11.4.1", "x")])
    with pytest.raises(NotArchivable):
        licences.issue(OPERATOR, "business-licence", DATA)
    assert _count(world, LicenceRow) == before


def test_an_end_prevails_over_what_was_decided_after_it() -> None:
    class Event:
        def __init__(self, state: str, effective: int, recorded: int) -> None:
            self.state = self.state_zh = state
            self.effective_at, self.recorded_at = _day(effective), _day(recorded)

    class Licence:
        identifier, region, valid_from, valid_to = "x", "310000", _day(0), _day(100)
        document_sha256 = "0" * 64

    events = [Event("in-force", 0, 0), Event("withdrawn", 50, 10), Event("suspended", 20, 20), Event("in-force", 30, 30)]
    asked = {day: state_at(Licence, "", events, _day(day)) for day in (1, 25, 35, 60)}  # type: ignore[arg-type]
    assert {d: s.status for d, s in asked.items() if s} == {1: "in-force", 25: "suspended", 35: "in-force", 60: "withdrawn"}


def _day(number: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
