"""Applications to seal, step by step: who may take which step, what starts anew, what the applicant is told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from crypto.errors import XinyinError
from policies.authorise import NotAllowed
from policies.matters import BadMatters, Matters
from seals.models import ApplicationDocumentRow, ApplicationRow, ApplicationStepRow, ImpressionRow
from seals.placement import KeywordNotFound, KeywordPlacement, Placement
from seals.schemas import (
    ApplicationChanged,
    ApplicationNeeded,
    ApplicationStateRefused,
    BadApplication,
    ImpressionStateRefused,
    NoSuchApplication,
    NoSuchImpression,
    NoSuchSeal,
    SealNotInForce,
)
from seals.workflow import tracking
from seals.workflow.drafts import NewDocument
from seals.workflow.states import STATUSES, VERBS, allowed
from store.blobs import BlobDamaged
from store.db import Database
from store.intents import AttemptSuperseded, IdempotencyMismatch, StillRunning
from store.migrations import config
from store.models import AuditLeafRow, EventRow
from tests.integration.seals_world import APPROVALS, MARKET, OPERATOR, REGION
from tests.integration.workflow_world import PLACE, Office, page

ON_POSTGRESQL = {
    "test_an_application_goes_from_hand_to_hand_until_it_is_delivered",
    "test_many_at_once_sign_off_once_and_seal_each_document_once",
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


def test_an_application_goes_from_hand_to_hand_until_it_is_delivered(database: Database, tmp_path: Path) -> None:
    office = Office(tmp_path, database)
    apply = office.apply
    made = office.put(
        documents=2,
        number="云市监〔2026〕1号",
        copies=3,
        matter="joint-notice",
        countersigners=[office.ids[APPROVALS]],
        applicant={"name": "张三", "contact": "13800000000"},
        facts={"rate": 0.5, "years": 2.0},
    )
    at = made["id"]
    assert [(s["step"], s["state"]) for s in made["steps"]] == [
        ("handle", "done"),
        ("review", "current"),
        ("countersign", "waiting"),
        ("sign-off", "waiting"),
        ("seal", "waiting"),
        ("deliver", "waiting"),
    ]
    assert (made["waiting"]["step"], made["waiting"]["whom"]) == ("review", ["样本 double", "样本 reviewer"])
    assert apply.show(office["reviewer"], at)["can"] == ["review", "return", "refuse"]
    assert apply.show(office["handler"], at)["can"] == ["amend", "withdraw"]
    assert apply.show(office["signer"], at)["can"] == []
    apply.review(office["reviewer"], at, note="材料齐全")
    assert apply.show(office["stranger"], at)["can"] == ["countersign", "return", "refuse"]
    apply.countersign(office["stranger"], at)
    signed = apply.sign_off(office["signer"], at, note="同意")
    assert (signed["status"], signed["signer_off_name"], signed["waiting"]["step"]) == ("signed-off", "样本 signer", "seal")
    sealed = apply.seal(office["keeper"], at)
    assert (sealed["status"], [d["status"] for d in sealed["documents"]]) == ("sealed", ["sealed", "sealed"])
    assert apply.seal(office["keeper2"], at)["documents"] == sealed["documents"], "asked again nothing is sealed again"
    done = apply.deliver(office["handler"], at, recipient="张三", receipt="本人领取", receipt_file=b"scan")
    assert (done["status"], done["waiting"]) == ("delivered", None)
    assert apply.deliver(office["keeper"], at, recipient="李四", method="post")["deliveries"][1]["method"] == "post"
    assert office.kinds(at) == [
        "application.submitted",
        "application.reviewed",
        "application.countersigned",
        "application.signed-off",
        "seal.applied",
        "seal.applied",
        "application.sealed",
        "application.delivered",
        "application.delivered",
    ]
    name, data = apply.document(office["auditor"], at, 2, sealed=True)
    assert name == "批复1.pdf"
    assert data.startswith(page(1))
    with office.world.db.read() as session:
        text = " ".join(session.scalars(sa.select(AuditLeafRow.body)))
    for personal in ("张三", "13800000000", "本人领取", "材料齐全"):
        assert personal not in text


def test_many_at_once_sign_off_once_and_seal_each_document_once(database: Database, tmp_path: Path) -> None:
    office = Office(tmp_path, database)
    made = office.put(documents=2, matter="default")
    signer, keepers = office["signer"], [office["keeper"], office["keeper2"]]

    def tried(act: Callable[[], Any]) -> str:
        try:
            act()
        except (ApplicationStateRefused, ApplicationNeeded, StillRunning, AttemptSuperseded) as exc:
            return exc.code
        return "done"

    with ThreadPoolExecutor(4) as pool:
        signed = list(pool.map(lambda _: tried(lambda: office.apply.sign_off(signer, made["id"])), range(4)))
        sealed = list(pool.map(lambda n: tried(lambda: office.apply.seal(keepers[n % 2], made["id"])), range(6)))
    assert signed.count("done") == 1
    assert "done" in sealed
    office.apply.seal(keepers[0], made["id"])
    assert uses_of(office, made["id"]) == 2
    assert Counter(office.kinds(made["id"])) == {
        "application.submitted": 1,
        "application.signed-off": 1,
        "seal.applied": 2,
        "application.sealed": 1,
    }


def test_countersigning_goes_side_by_side_or_in_turn_as_the_matter_says(office: Office) -> None:
    others = [APPROVALS, "11310000MB2F300339"]
    together = office.put(matter="joint-notice", countersigners=others)
    office.apply.review(office["reviewer"], together["id"])
    assert [s["state"] for s in office.apply.show(office["signer"], together["id"])["steps"][2:4]] == ["current", "current"]
    office.apply.countersign(office["third"], together["id"])
    with pytest.raises(ApplicationStateRefused):
        office.apply.sign_off(office["signer"], together["id"])
    office.apply.countersign(office["stranger"], together["id"])
    assert office.apply.sign_off(office["signer"], together["id"])["status"] == "signed-off"
    turn = office.put(matter="joint-notice-in-turn", countersigners=others)
    office.apply.review(office["reviewer"], turn["id"])
    with pytest.raises(NotAllowed):
        office.apply.countersign(office["third"], turn["id"])
    office.apply.countersign(office["stranger"], turn["id"])
    assert office.apply.countersign(office["third"], turn["id"])["waiting"]["step"] == "sign-off"


@pytest.mark.parametrize("others", [[], [MARKET], ["11310000000000000X"]])
def test_who_countersigns_is_named_known_and_somebody_else(office: Office, others: list[str]) -> None:
    with pytest.raises(BadApplication):
        office.put(matter="joint-notice", countersigners=others)


# -- 经办 and 签发 are two people -----------------------------------------------------------------------------------------


def test_whoever_handled_an_application_does_not_decide_on_it_in_any_role(office: Office) -> None:
    made = office.put("double")
    for act in (office.apply.review, office.apply.sign_off):
        with pytest.raises((NotAllowed, ApplicationStateRefused)):
            act(office["double"], made["id"])
    with pytest.raises(NotAllowed):
        office.apply.return_(office["double"], made["id"], reason="x")
    office.apply.review(office["reviewer"], made["id"])
    with pytest.raises(NotAllowed):
        office.apply.sign_off(office["double"], made["id"])
    assert made["id"] not in [one["id"] for one in office.apply.list(office["double"], todo=True).items]
    office.apply.sign_off(office["signer"], made["id"])


def test_amending_makes_a_handler_of_whoever_amends(office: Office) -> None:
    made = office.put()
    office.apply.amend(office["double"], made["id"], copies=2)
    office.apply.review(office["reviewer"], made["id"])
    with pytest.raises(NotAllowed):
        office.apply.sign_off(office["double"], made["id"])


def test_a_delegation_does_not_get_round_it_and_is_told_in_the_log(office: Office) -> None:
    lend = office.accounts.delegations.grant
    until = datetime.now(UTC) + timedelta(days=2)
    lent = lend("signer", "colleague", roles={"signer_off"}, until=until, actor="signer")
    own = office.put("colleague")
    office.apply.review(office["reviewer"], own["id"])
    with pytest.raises(NotAllowed):  # for the signer-off, but what they handled themselves
        office.apply.sign_off(office["colleague"], own["id"])
    other = office.put("handler")
    waiting = office.apply.review(office["reviewer"], other["id"])["waiting"]
    assert "样本 colleague" in waiting["whom"]
    assert other["id"] in [one["id"] for one in office.apply.list(office["colleague"], todo=True).items]
    signed = office.apply.sign_off(office["colleague"], other["id"])
    step = next(s for s in signed["steps"] if s["step"] == "sign-off")
    assert (step["who_name"], step["on_behalf_of_name"]) == ("样本 colleague", "样本 signer")
    leaf = next(e for e in office.world.audit.history(other["id"]) if e.kind == "application.signed-off")
    assert (leaf.subject["on_behalf_of"], leaf.subject["delegation"]) == (office["signer"].id, lent.id)
    office.accounts.delegations.withdraw(lent.id, actor="signer")


def test_what_was_handled_for_somebody_they_do_not_sign_off_either(office: Office) -> None:
    until = datetime.now(UTC) + timedelta(days=2)
    lent = office.accounts.delegations.grant("double", "third", roles={"handler"}, until=until, actor="double")
    made = office.put("third")
    assert office.apply.list(office["third"], mine=True).items[0]["id"] == made["id"]
    office.apply.review(office["reviewer"], made["id"])
    with pytest.raises(NotAllowed):
        office.apply.sign_off(office["double"], made["id"])
    office.accounts.delegations.withdraw(lent.id, actor="double")


def test_a_post_that_passes_on_takes_its_applications_along(office: Office) -> None:
    accounts = office.accounts
    for name, roles in (("leaving", ("handler", "signer_off")), ("coming", ("signer_off",))):
        accounts.create(name, "Correct-horse-9 staple", roles=roles, department=office.ids[MARKET])
    made = office.put("leaving")
    accounts.hand_overs.work["applications"] = office.apply.hand_over
    done = accounts.hand_overs.hand_over("leaving", "coming", actor="admin")
    assert done.moved == {"applications": 1}
    found = office.apply.show(office["coming"], made["id"])
    assert (found["handler"]["id"], found["can"]) == (office["coming"].id, ["amend", "withdraw"])
    office.apply.review(office["reviewer"], made["id"])
    for name in ("coming", "leaving"):
        with pytest.raises(NotAllowed):
            office.apply.sign_off(office[name], made["id"])
    assert "application.handed-over" in office.kinds(made["id"])


# -- what starts anew, and what ends ---------------------------------------------------------------------------------------


def test_what_was_returned_is_amended_and_every_step_begins_anew(office: Office) -> None:
    made = office.put(number="1号")
    office.apply.review(office["reviewer"], made["id"])
    returned = office.apply.return_(office["signer"], made["id"], reason="文号有误")
    assert (returned["status"], returned["returned_reason"]) == ("returned", "文号有误")
    assert (returned["waiting"]["step"], returned["waiting"]["whom"]) == ("handle", ["样本 handler"])
    assert made["id"] in [one["id"] for one in office.apply.list(office["handler"], todo=True).items]
    with pytest.raises(ApplicationStateRefused):
        office.apply.sign_off(office["signer"], made["id"])
    again = office.apply.amend(office["handler"], made["id"], number="2号", note="已更正")
    assert (again["round"], again["status"], again["number"], again["returned_reason"]) == (2, "submitted", "2号", None)
    assert again["content_sha256"] != made["content_sha256"]
    assert [d["sha256"] for d in again["documents"]] == [d["sha256"] for d in made["documents"]]
    assert again["waiting"]["step"] == "review", "the review of the first round counts for nothing"


@pytest.mark.parametrize(
    "change",
    [
        {"copies": 2},
        {"number": "9号"},
        {"title": "另一件"},
        {"matter": "default"},
        {"facts": {"kind": "x"}},
        {"place": 1},
        {"file": 9},
    ],
)
def test_whatever_is_changed_after_the_sign_off_takes_it_back(office: Office, change: dict[str, Any]) -> None:
    made = office.signed_off()
    if "place" in change or "file" in change:
        number, place = (0, Placement(1, 100, 100)) if "place" in change else (9, PLACE)
        change = {"documents": [NewDocument("批复0.pdf", page(number), place)]}
    again = office.apply.amend(office["handler"], made["id"], **change)
    assert (again["status"], again["signer_off"], again["round"]) == ("submitted", None, 2)
    with pytest.raises(ApplicationStateRefused):
        office.apply.seal(office["keeper"], made["id"])
    with pytest.raises((ApplicationNeeded, NotAllowed, ApplicationChanged)):
        office.world.seals.apply(office["keeper"], page(0), seal_id=office.seal["id"], placement=PLACE, application=made["id"])


def test_nothing_changed_is_no_amendment(office: Office) -> None:
    made = office.put()
    with pytest.raises(ApplicationStateRefused):
        office.apply.amend(office["handler"], made["id"], copies=1)
    with pytest.raises(BadApplication):
        office.apply.amend(office["handler"], made["id"], handler="somebody")
    assert office.apply.show(office["handler"], made["id"])["round"] == 1


def test_whoever_looked_at_an_earlier_version_does_not_approve_the_new_one(office: Office) -> None:
    made = office.put()
    office.apply.amend(office["handler"], made["id"], copies=2)
    with pytest.raises(ApplicationStateRefused):
        office.apply.review(office["reviewer"], made["id"], content=made["content_sha256"])


def test_an_application_that_ended_stays_ended(office: Office) -> None:
    refused, withdrawn = office.put(), office.put()
    assert office.apply.refuse(office["reviewer"], refused["id"], reason="不符合规定")["reason"] == "不符合规定"
    assert office.apply.withdraw(office["handler"], withdrawn["id"])["status"] == "withdrawn"
    for made in (refused, withdrawn):
        for who in ("handler", "reviewer", "signer", "keeper"):
            assert office.apply.show(office[who], made["id"])["can"] == []
        with pytest.raises(ApplicationStateRefused):
            office.apply.amend(office["handler"], made["id"], copies=2)
    with pytest.raises(BadApplication):
        office.apply.return_(office["reviewer"], office.put()["id"], reason=" ")


def test_the_table_of_states_allows_nothing_but_what_it_says() -> None:
    steps = ("handle", "review", "countersign", "sign-off", "seal", "deliver")
    found = {(v, s, step) for v in VERBS for s in STATUSES for step in steps if allowed(v, s, [step])}
    approving = {(step, "submitted", step) for step in ("review", "countersign", "sign-off")}
    assert {one for one in found if one[0] in ("review", "countersign", "sign-off")} == approving
    assert {one for one in found if one[0] == "seal"} == {("seal", "signed-off", "seal")}
    assert {status for verb, status, _ in found if verb in ("amend", "withdraw")} == {"submitted", "returned", "signed-off"}
    assert {status for verb, status, _ in found if verb in ("return", "refuse")} == {"submitted"}
    assert not [one for one in found if one[1] in ("refused", "withdrawn", "used")]


# -- between 签发 and 用印 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (ApplicationDocumentRow, {"sha256": "new"}),
        (ApplicationDocumentRow, {"placement": {"page": 1, "x_mm": 10.0, "y_mm": 10.0}}),
        (ApplicationRow, {"number": "别的文号"}),
        (ApplicationRow, {"copies": 500}),
        (ApplicationRow, {"replaces": "impression_x"}),
        (ApplicationStepRow, {"content_sha256": "0" * 64}),
        (ApplicationStepRow, {"leaf_id": "leaf_x"}),
    ],
)
def test_a_row_that_was_edited_after_the_sign_off_seals_nothing(office: Office, table: Any, change: dict[str, Any]) -> None:
    made = office.signed_off()
    key = ApplicationRow.id if table is ApplicationRow else table.application_id
    if change.get("sha256") == "new":
        change = {"sha256": office.world.blobs.put(page(77))}
    where = [key == made["id"]] + ([ApplicationStepRow.step == "sign-off"] if table is ApplicationStepRow else [])
    office.world.db.run(lambda session: session.execute(sa.update(table).where(*where).values(**change)))
    with pytest.raises(ApplicationChanged):
        office.apply.seal(office["keeper"], made["id"])
    assert uses_of(office, made["id"]) == 0


def test_a_sign_off_that_nobody_gave_seals_nothing(office: Office) -> None:
    made = office.put()
    office.apply.review(office["reviewer"], made["id"])

    def forge(session: Any) -> None:
        session.execute(
            sa.update(ApplicationRow).where(ApplicationRow.id == made["id"]).values(status="signed-off", signer_off="account_x")
        )
        mine = ApplicationStepRow.application_id == made["id"]
        done = {"state": "done", "content_sha256": made["content_sha256"]}
        session.execute(sa.update(ApplicationStepRow).where(mine, ApplicationStepRow.step == "sign-off").values(**done))
        session.execute(sa.update(ApplicationStepRow).where(mine, ApplicationStepRow.step == "seal").values(state="current"))

    office.world.db.run(forge)
    with pytest.raises(ApplicationChanged):
        office.apply.seal(office["keeper"], made["id"])
    assert uses_of(office, made["id"]) == 0


def test_a_document_that_was_changed_on_the_disk_is_not_sealed(office: Office) -> None:
    document = NewDocument("a.pdf", page(4711), PLACE)
    made = office.signed_off(documents=[document])
    path = office.world.blobs.path(made["documents"][0]["sha256"])
    path.chmod(0o600)
    path.write_bytes(page(4712))
    with pytest.raises(BlobDamaged):
        office.apply.seal(office["keeper"], made["id"])
    assert uses_of(office, made["id"]) == 0


def test_the_place_that_was_signed_off_is_the_place_of_the_seal(office: Office) -> None:
    made = office.signed_off()
    keeper, seal_id = office["keeper"], office.seal["id"]
    with pytest.raises(ApplicationChanged):
        office.world.seals.apply(keeper, page(0), seal_id=seal_id, placement=Placement(1, 9, 9), application=made["id"])
    with pytest.raises(ApplicationNeeded):
        office.world.seals.apply(keeper, page(5), seal_id=seal_id, placement=PLACE, application=made["id"])
    first, _ = office.world.seals.apply(keeper, page(0), seal_id=seal_id, placement=PLACE, application=made["id"])
    again, _ = office.world.seals.apply(office["keeper2"], page(0), seal_id=seal_id, placement=PLACE, application=made["id"])
    assert first["id"] == again["id"]
    assert uses_of(office, made["id"]) == 1
    assert office.apply.show(keeper, made["id"])["status"] == "sealed"


def test_a_seal_that_was_stopped_meanwhile_leaves_the_application_signed_off(office: Office) -> None:
    made = office.signed_off()
    office.world.seals.suspend(OPERATOR, office.seal["id"], reason="盘点")
    with pytest.raises(SealNotInForce):
        office.apply.seal(office["keeper"], made["id"])
    with pytest.raises(SealNotInForce):
        office.put()
    office.world.seals.resume(OPERATOR, office.seal["id"], reason="盘点完毕")
    assert office.apply.seal(office["keeper"], made["id"])["status"] == "sealed"


def uses_of(office: Office, application_id: str) -> int:
    with office.world.db.read() as session:
        return (
            session.scalar(
                sa.select(sa.func.count()).select_from(ImpressionRow).where(ImpressionRow.application_id == application_id)
            )
            or 0
        )


# -- 秒批, production ------------------------------------------------------------------------------------------------------

CLEAR = {"complete": True, "register_match": True, "risk": "low"}


def test_a_rule_signs_off_what_a_system_hands_in_and_is_on_record_as_the_sign_off(office: Office) -> None:
    apply, wish = office.production(), {"matter": "registration-notice", "facts": CLEAR}
    made = apply.submit(
        office["system"],
        purpose="use-seal",
        department=MARKET,
        seal_id=office.seal["id"],
        documents=[NewDocument("n.pdf", page(1), PLACE)],
        **wish,  # type: ignore[arg-type]
    )
    assert (made["status"], made["signer_off"]) == ("signed-off", "rule:instant-registration-notice")
    assert [s["state"] for s in made["steps"]] == ["done", "skipped", "done", "current", "waiting"]
    leaf = next(e for e in office.world.audit.history(made["id"]) if e.kind == "application.signed-off")
    assert (leaf.rule, leaf.actor) == ("instant-registration-notice", "rule:instant-registration-notice")
    assert leaf.data["handed_in_by"] == office["system"].id
    assert apply.seal(office["system"], made["id"], attended=False)["status"] == "sealed"
    (use,) = office.apply.register(office["signer"], q=made["id"]).items
    assert "秒批" in use["signer_off"]


@pytest.mark.parametrize(
    ("by", "facts", "matter"),
    [
        ("handler", CLEAR, "registration-notice"),
        ("system", {**CLEAR, "risk": "high"}, "registration-notice"),
        ("system", {"complete": True, "risk": "low"}, "registration-notice"),
        ("system", {**CLEAR, "complete": "yes"}, "registration-notice"),
        ("system", CLEAR, "approval-reply"),
    ],
)
def test_where_the_rule_does_not_say_yes_people_decide(office: Office, by: str, facts: dict[str, Any], matter: str) -> None:
    made = office.put(by, facts=facts, matter=matter)
    assert (made["status"], made["waiting"]["step"]) == ("submitted", "review")


def test_in_production_whoever_handled_does_not_seal_and_nothing_is_sealed_without_its_document(office: Office) -> None:
    apply = office.production()
    made = office.signed_off()
    office.accounts.set_roles("handler", {"handler", "seal_keeper"}, actor="admin")
    with pytest.raises(NotAllowed):
        apply.seal(office["handler"], made["id"])
    office.accounts.set_roles("handler", {"handler"}, actor="admin")
    assert apply.seal(office["keeper"], made["id"])["status"] == "sealed"
    open_one = office.signed_off(documents=[])
    with pytest.raises(ApplicationStateRefused):
        apply.seal(office["keeper"], open_one["id"])
    with pytest.raises(NotAllowed):
        apply._sealing.apply(
            office["keeper"], page(3), seal_id=office.seal["id"], placement=None, application=open_one["id"], attended=True
        )


# -- walls ----------------------------------------------------------------------------------------------------------------


def test_another_department_learns_nothing_and_does_nothing(office: Office) -> None:
    made, apply, stranger = office.signed_off(), office.apply, office["stranger"]
    at = made["id"]
    acts: list[Callable[[], Any]] = [
        lambda: apply.show(stranger, at),
        lambda: apply.amend(stranger, at, copies=2),
        lambda: apply.review(stranger, at),
        lambda: apply.countersign(stranger, at),
        lambda: apply.sign_off(stranger, at),
        lambda: apply.return_(stranger, at, reason="x"),
        lambda: apply.refuse(stranger, at, reason="x"),
        lambda: apply.withdraw(stranger, at),
        lambda: apply.seal(stranger, at),
        lambda: apply.deliver(stranger, at, recipient="x"),
        lambda: apply.document(stranger, at, 1),
    ]
    for act in acts:
        with pytest.raises(NoSuchApplication):
            act()
    sealed = apply.seal(office["keeper"], at)
    impression = sealed["documents"][0]["impression_id"]
    with pytest.raises(NoSuchImpression):
        office.world.seals.show_impression(stranger, impression)
    with pytest.raises(NoSuchImpression):
        office.world.seals.void(stranger, impression, reason="x")
    with pytest.raises(NoSuchSeal):
        apply.register(stranger, seal_id=office.seal["id"])
    assert apply.register(stranger, q=at).items == []
    assert at not in {one["id"] for one in apply.list(stranger, limit=1000).items}
    with pytest.raises(NoSuchSeal):
        apply.submit(stranger, purpose="use-seal", department=APPROVALS, seal_id=office.seal["id"], documents=[])
    with pytest.raises(NotAllowed):
        apply.submit(stranger, purpose="use-seal", department=MARKET, seal_id=office.seal["id"], documents=[])
    assert apply.show(office["auditor"], at)["can"] == []


# -- lists, register, tracking --------------------------------------------------------------------------------------------


def test_lists_page_filter_and_show_what_waits(office: Office) -> None:
    made = [office.put(title=f"清单{n:02d} 100%", matter="default") for n in range(7)]
    seen, cursor = [], None
    while True:
        found = office.apply.list(office["signer"], todo=True, q="清单", limit=3, cursor=cursor)
        assert len(found.items) <= 3
        seen += [one["id"] for one in found.items]
        cursor = found.next
        if cursor is None:
            break
    assert seen == [one["id"] for one in reversed(made)]
    assert office.apply.list(office["reviewer"], todo=True, q="清单").items == []
    assert [one["title"] for one in office.apply.list(office["signer"], q="03 100%").items] == ["清单03 100%"]
    assert office.apply.list(office["signer"], q="清单_").items == [], "a wildcard is a character"
    assert len(office.apply.list(office["handler"], mine=True, matter="default", status="submitted").items) >= 7
    past = datetime.now(UTC) - timedelta(days=1)
    assert office.apply.list(office["handler"], until=past).items == []
    with pytest.raises(BadApplication):
        office.apply.list(office["handler"], status="lost")


def test_the_register_tells_who_applied_handled_signed_and_sealed(office: Office) -> None:
    name = "=HYPERLINK(1)"
    made = office.signed_off(documents=2, number="登记〔2026〕3号", applicant={"name": name})
    office.apply.seal(office["keeper"], made["id"])
    found = office.apply.register(office["signer"], q="登记〔2026〕3号", limit=1)
    (use,) = found.items
    assert (use["applicant"], use["handler"], use["signer_off"], use["sealed_by"]) == (
        name, "样本 handler", "样本 signer", "样本 keeper",
    )  # fmt: skip
    assert use["rule"] == "signed-off-application"
    assert found.next is not None
    assert len(office.apply.register(office["signer"], q="登记〔2026〕3号", cursor=found.next).items) == 1
    assert len(office.apply.register(office["auditor"], q=use["document_sha256"]).items) == 1
    assert len(office.apply.register(office["signer"], q="HYPERLINK").items) == 2
    text = "".join(office.apply.register_csv(office["signer"]))
    assert text.startswith("\ufeff用印时间,")
    assert ",'=HYPERLINK(1)," in text, "no cell begins a formula"


def test_the_applicant_follows_by_a_code_and_reads_nothing_personal(office: Office) -> None:
    made = office.put(title="关于张三的决定", applicant={"name": "张三"}, number="公开1号")
    code, apply = made["track_code"], office.apply
    assert apply.track(code)["status"] == "received"
    apply.review(office["reviewer"], made["id"])
    assert apply.track(f" {code[:5].lower()}-{code[5:]} ")["status"] == "under-review"
    apply.return_(office["signer"], made["id"], reason="张三的材料不全")
    assert apply.track(code)["status"] == "returned"
    apply.amend(office["handler"], made["id"], copies=2)
    apply.review(office["reviewer"], made["id"])
    apply.sign_off(office["signer"], made["id"])
    assert apply.track(code)["status"] == "approved"
    sealed = apply.seal(office["keeper"], made["id"])
    assert apply.track(code)["words_zh"] == "已用印，等待送达。"
    apply.deliver(office["handler"], made["id"], recipient="张三")
    told = apply.track(code)
    assert told["status"] == "delivered"
    assert [one["status"] for one in told["history"]] == ["received", "approved", "sealed", "delivered"]
    assert "张三" not in str(told)
    assert "account_" not in str(told)
    office.world.seals.void(office["keeper"], sealed["documents"][0]["impression_id"], reason="张三的名字写错")
    assert apply.track(code)["status"] == "voided"
    assert "张三" not in str(apply.track(code))
    for wrong in ("", "0" * 20, code[:-1], code + "0", "%"):
        with pytest.raises(NoSuchApplication):
            apply.track(wrong)
    assert len({tracking.new_code(lambda letters: letters[0]), code}) == 2


def test_auditors_and_other_departments_do_not_read_who_applied(office: Office) -> None:
    applicant = {"name": "张三丰", "contact": "13900000000"}
    made = office.put(matter="joint-notice", countersigners=[APPROVALS], applicant=applicant, title="隐名")
    for who in ("auditor", "stranger"):
        assert office.apply.show(office[who], made["id"])["applicant"] == {"name": "张**"}
        assert office.apply.list(office[who], q="隐名").items[0]["applicant"] == {"name": "张**"}
    assert office.apply.show(office["handler"], made["id"])["applicant"] == applicant
    office.apply.review(office["reviewer"], made["id"])
    office.apply.countersign(office["stranger"], made["id"])
    office.apply.sign_off(office["signer"], made["id"])
    office.apply.seal(office["keeper"], made["id"])
    office.apply.deliver(office["handler"], made["id"], recipient="张三丰", receipt="本人")
    assert "张三丰" not in str(office.apply.show(office["auditor"], made["id"]))
    assert [one["applicant"] for one in office.apply.register(office["auditor"], q="隐名").items] == ["张**"]
    assert [one["applicant"] for one in office.apply.register(office["signer"], q="隐名").items] == ["张三丰"]


def test_a_corrected_document_takes_the_place_of_the_old_one_when_it_is_sealed(office: Office) -> None:
    first = office.signed_off()
    old = office.apply.seal(office["keeper"], first["id"])["documents"][0]
    second = office.signed_off(documents=[NewDocument("更正.pdf", page(21), PLACE)], replaces=old["impression_id"])
    assert office.world.seals.show_impression(office["keeper"], old["impression_id"])["status"] == "valid"
    new = office.apply.seal(office["keeper"], second["id"])["documents"][0]
    found = office.apply.show(office["handler"], first["id"])["documents"][0]
    assert (found["impression_status"], found["replaced_by"]) == ("replaced", new["impression_id"])
    assert office.apply.track(first["track_code"])["status"] == "replaced"
    with office.world.db.read() as session:
        events = session.scalars(sa.select(EventRow).where(EventRow.impression_id == old["impression_id"])).all()
    assert [(one.kind, one.data["replaced_by"]) for one in events] == [("impression.replaced", new["impression_id"])]
    with pytest.raises(ImpressionStateRefused):
        office.put(replaces=old["impression_id"])


def test_every_state_is_told_to_systems_that_ask(office: Office) -> None:
    made = office.signed_off(number="机密文号")
    office.apply.seal(office["keeper"], made["id"])
    office.apply.deliver(office["handler"], made["id"], recipient="张三")
    with office.world.db.read() as session:
        events = [
            one
            for one in session.scalars(sa.select(EventRow).order_by(EventRow.id))
            if one.subject.get("application") == made["id"]
        ]
    assert [one.kind for one in events] == [
        "application.submitted",
        "application.reviewed",
        "application.signed-off",
        "application.sealed",
        "application.delivered",
    ]
    assert {one.department for one in events} == {MARKET}
    assert "张三" not in str([(one.subject, one.data) for one in events])


# -- what is handed in ----------------------------------------------------------------------------------------------------


def test_the_same_request_under_the_same_key_is_one_application(office: Office) -> None:
    one = office.put(title="幂等", idempotency_key="k-1")
    assert office.put(title="幂等", idempotency_key="k-1")["id"] == one["id"]
    with pytest.raises(IdempotencyMismatch):
        office.put(title="幂等", copies=2, idempotency_key="k-1")
    assert office.put("colleague", title="幂等", idempotency_key="k-1")["id"] != one["id"]
    assert office.kinds(one["id"]) == ["application.submitted"]


def test_without_a_place_the_seal_goes_on_its_owners_name(office: Office) -> None:
    name = "云江市行政审批局"
    seal = office.world.seal(name, owner_uscc=APPROVALS, suites=("p256",))
    wish: dict[str, Any] = {"purpose": "use-seal", "department": APPROVALS, "seal_id": seal["id"]}
    made = office.apply.submit(office["stranger"], documents=[NewDocument("a.pdf", page(1))], **wish)
    assert made["documents"][0]["placement"] == {"keyword": name}
    with pytest.raises(KeywordNotFound):
        office.put(place=KeywordPlacement("没有这几个字"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"documents": [NewDocument("a.pdf", b"no PDF", PLACE)]},
        {"documents": [NewDocument("a.pdf", b"", PLACE)]},
        {"documents": [NewDocument("a.pdf", page(1), Placement(99, 1, 1))]},
        {"documents": [NewDocument("a.pdf", page(1), Placement(1, float("nan"), 1))]},
        {"documents": [NewDocument("a.pdf", page(1), Placement(1, 5000, 1))]},
        {"documents": [NewDocument("a.pdf", page(1), PLACE), NewDocument("b.pdf", page(1), PLACE)]},
        {"documents": [NewDocument("a.pdf", page(1), PLACE, suite="dsa")]},
        {"documents": [NewDocument("a.pdf", page(1), PLACE, level="X")]},
        {"documents": [], "document_sha256": "abc"},
        {"documents": [NewDocument(str(n), page(n), PLACE) for n in range(21)]},
        {"copies": 0},
        {"copies": 100_000},
        {"title": "x" * 301},
        {"number": "一行\n两行"},
        {"facts": {"x": float("inf")}},
        {"facts": {"x": "\x00"}},
        {"applicant": {"name": "x", "passport": "y"}},
        {"applicant": {"name": "\x00"}},
        {"purpose": "use-anything"},
        {"seal_id": None},
        {"seal_id": "seal_none"},
        {"replaces": "impression_none"},
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_leaves_nothing(office: Office, wrong: dict[str, Any]) -> None:
    def count() -> int:
        with office.world.db.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(ApplicationRow)) or 0

    before = count()
    with pytest.raises(XinyinError) as caught:
        office.put(**wrong)
    assert caught.value.status in (400, 404, 409)
    assert caught.value.message_zh
    assert count() == before


def test_a_node_adds_matters_of_its_own_and_a_bad_one_is_refused_by_name(tmp_path: Path) -> None:
    own = tmp_path / "matters.toml"
    own.write_text('[matters.letter]\nzh = "函"\nen = "Letter"\nsteps = ["sign-off", "seal"]\nsealers = ["handler"]\n', "utf-8")
    matters = Matters.load(own, tmp_path / "not-there.toml")
    assert matters.of("letter").sealers == ("handler",)
    assert matters.of("approval-reply").steps == ("review", "sign-off", "seal", "deliver")
    assert (matters.of("unknown").known, matters.of("unknown").steps) == (False, ("sign-off", "seal", "deliver"))
    for bad in (
        'steps = ["seal", "sign-off"]',
        'steps = ["review"]',
        'steps = ["countersign", "sign-off"]',
        "copies = 'x'",
        "steps = [",
    ):
        own.write_text(f'[matters.letter]\nzh = "函"\nen = "Letter"\n{bad}\n', "utf-8")
        with pytest.raises(BadMatters):
            Matters.load(own)


# -- what an earlier version left -------------------------------------------------------------------------------------------


def test_applications_of_an_earlier_version_go_on_at_the_step_that_they_wait_for(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/old.sqlite")
    columns = ("id", "region", "purpose", "status", "department", "matter", "facts", "handler", "created_at", "document_sha256")
    old = sa.table("applications", *(sa.column(name) for name in columns), sa.column("signer_off"), sa.column("decided_at"))
    with database.engine.begin() as connection:
        command.upgrade(config(connection), "0003")
        for status in ("submitted", "signed-off", "refused", "used"):
            values = {"id": f"application_{status}", "region": REGION, "purpose": "use-seal", "status": status}
            values |= {"department": MARKET, "matter": "A-118", "facts": "{}", "handler": "account_old"}
            decided = None if status == "submitted" else "2026-01-03 00:00:00"
            signer = None if status == "submitted" else "account_signer"
            values |= {"created_at": "2026-01-02 00:00:00", "decided_at": decided, "signer_off": signer}
            connection.execute(sa.insert(old).values(**values, document_sha256=hashlib.sha256(page(0)).hexdigest()))
    office = Office(tmp_path, database)
    waiting, signed = (office.apply.show(office["signer"], f"application_{one}") for one in ("submitted", "signed-off"))
    assert (waiting["can"], waiting["waiting"]["step"]) == (["sign-off", "return", "refuse"], "sign-off")
    assert office.apply.sign_off(office["signer"], waiting["id"])["status"] == "signed-off"
    assert [step["state"] for step in signed["steps"]] == ["done", "done", "current", "waiting"]
    assert len({one["track_code"] for one in office.apply.list(office["signer"]).items}) == 4
    apply, seal_id = office.world.seals.apply, office.seal["id"]
    made, _ = apply(office["keeper"], page(0), seal_id=seal_id, placement=PLACE, application=signed["id"])
    assert made["application"] == signed["id"]
    for wrong, data in ((signed["id"], page(1)), ("application_refused", page(0))):
        with pytest.raises((ApplicationNeeded, NotAllowed)):
            apply(office["keeper"], data, seal_id=seal_id, placement=PLACE, application=wrong)
