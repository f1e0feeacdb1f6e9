"""Attacks on the work inside a department: by colleagues, stand-ins, readers of masked names, and whoever shares a screen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from formats.tables import cell
from people.schemas import Account
from policies.authorise import NotAllowed
from seals.schemas import ImpressionStateRefused, NoSuchImpression
from store.db import utc_now
from tests.integration.seals_world import APPROVAL, APPROVALS, MARKET, OPERATOR
from tests.integration.workflow_world import PLACE, Office

MATTER = "approval-reply"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("attacked-desk"))


@pytest.fixture
def lent(office: Office) -> Iterator[Any]:
    """Lends to the stranger of another department; withdrawn when the test is over."""
    made: list[str] = []

    def lend(by: str, *roles: str, matters: tuple[str, ...] = ()) -> Account:
        until = utc_now() + timedelta(days=1)
        grant = office.accounts.delegations.grant
        made.append(grant(by, "stranger", roles=roles, matters=matters, until=until, actor=office[by].id).id)
        with office.world.db.read() as session:
            from people.room import account_of, find

            return account_of(session, find(session, "stranger"), utc_now())

    yield lend
    for one in made:
        office.accounts.delegations.withdraw(one, actor="local-operator")


def wish(office: Office, matter: str) -> dict[str, Any]:
    return {"purpose": "use-seal", "department": MARKET, "seal_id": office.seal["id"], "matter": matter}


def test_a_stand_in_for_one_matter_puts_and_moves_no_application_into_another(office: Office, lent: Any) -> None:
    deputy = lent("handler", "handler", matters=(MATTER,))
    made = office.apply.submit(deputy, **wish(office, MATTER))
    with pytest.raises(NotAllowed):
        office.apply.submit(deputy, **wish(office, "default"))
    with pytest.raises(NotAllowed):
        office.apply.amend(deputy, made["id"], matter="default")
    assert office.apply.show(office["handler"], made["id"])["matter"] == MATTER


def test_a_stand_in_for_the_general_matter_does_not_stop_the_whole_seal(office: Office, lent: Any) -> None:
    deputy = lent("keeper", "seal_keeper", matters=("default",))
    for verb in (office.world.seals.suspend, office.world.seals.revoke):
        with pytest.raises(NotAllowed):
            verb(deputy, office.seal["id"], reason="because I can")
    assert office.world.seals.show(office["keeper"], office.seal["id"])["status"] == "in-force"


def test_in_production_nobody_seals_in_the_place_of_whoever_handled_it(office: Office, lent: Any) -> None:
    made = office.put("double", place=PLACE)
    office.apply.review(office["reviewer"], made["id"])
    office.apply.sign_off(office["signer"], made["id"])
    deputy = lent("double", "seal_keeper")
    production = office.production()
    assert "seal" not in production.show(deputy, made["id"])["can"]
    with pytest.raises(NotAllowed):
        production.seal(deputy, made["id"])
    assert "seal" in production.show(office["keeper"], made["id"])["can"]


def test_whoever_sees_a_masked_name_cannot_spell_it_out_by_searching(office: Office) -> None:
    made = office.signed_off(applicant={"name": "样本 欧阳某某", "contact": "13800001234"})
    office.apply.seal(office["keeper"], made["id"])
    for word in ("欧阳某某", "13800001234", "0001"):
        assert [one["application"] for one in office.apply.register(office["signer"], q=word).items] == [made["id"]]
        assert office.apply.register(office["auditor"], q=word).items == [], word
    assert office.apply.register(office["auditor"], q=made["id"]).items[0]["applicant"] == "样**"


def test_leaves_hold_no_digest_from_which_a_recipient_is_guessed(office: Office) -> None:
    made = office.signed_off()
    office.apply.seal(office["keeper"], made["id"])
    office.apply.deliver(office["handler"], made["id"], recipient="样本 李四")
    office.apply.submit(office["handler"], **wish(office, MATTER))
    told = {entry.kind: json.dumps(dict(entry.data)) for entry in office.world.audit.history(made["id"])}
    assert "words" in told["application.delivered"]
    for guess in ("样本 李四", "样本 李四\n"):
        assert sha256(guess.encode()).hexdigest() not in told["application.delivered"]


def test_a_document_is_not_replaced_by_one_of_another_department(office: Office) -> None:
    other = office.world.seal("云江市行政审批局", owner_uscc=APPROVALS, suites=("p256",))
    theirs, _ = office.world.seals.apply(OPERATOR, APPROVAL, seal_id=other["id"], placement=PLACE)
    made = office.signed_off()
    mine = office.apply.seal(office["keeper"], made["id"])["documents"][0]["impression_id"]
    with pytest.raises(NoSuchImpression):
        office.world.seals.void(office["keeper"], mine, reason="x", replaced_by=theirs["id"])
    with pytest.raises(ImpressionStateRefused):
        office.world.seals.void(OPERATOR, mine, reason="x", replaced_by=theirs["id"])
    assert office.world.seals.show_impression(office["keeper"], mine)["status"] == "valid"


@pytest.mark.parametrize("word", ["=1+1", "＝1+1", "＋1", "－1", "＠SUM(1)", " =1+1", "\u3000=1", "\n=1", "\r=1", "\t=1", "@x"])
def test_no_cell_of_a_table_becomes_a_formula(word: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow([cell(word)])
    assert next(csv.reader(io.StringIO(out.getvalue(), newline="")))[0] == f"'{word}"


def test_plain_words_stay_as_they_are_in_tables() -> None:
    words = ["批复", "登记〔2026〕3号", "a=b", "", "  "]
    assert [cell(one) for one in words] == words
    assert cell(None) == ""
