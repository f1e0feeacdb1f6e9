"""Who is who: accounts, sign-in, sessions, tokens."""

from __future__ import annotations

import json
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from crypto.errors import Misconfigured
from people.demo import PERSONAS, create_demo_people, demo_passwords
from people.errors import (
    BadAccount,
    BadCredentials,
    BadToken,
    NameTaken,
    NoDemoPeople,
    NoSuchAccount,
    NoSuchDepartment,
    RolesExclude,
    SignInLocked,
)
from people.service import AccountService
from store.audit import AuditLog
from store.db import Database

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ON_POSTGRESQL = {
    "test_accounts_are_found_by_name_role_department_state_and_kind",
    "test_an_account_signs_in_and_its_session_knows_it",
    "test_a_head_of_departments_reaches_those_below_and_not_beside",
}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(database: Database, clock: Clock) -> AccountService:
    return AccountService(database, AuditLog(database, "310000"), "310000", hasher=CHEAP, now=clock)


def test_an_account_signs_in_and_its_session_knows_it(people: AccountService) -> None:
    made = people.create("li.hua", PASSWORD, roles={"handler"}, display_name="李华")
    signed_in = people.sign_in("li.hua", PASSWORD)
    found = people.by_session(signed_in.token)
    assert found is not None
    assert (found.id, found.name, found.roles, found.kind, found.region) == (made.id, "li.hua", {"handler"}, "staff", "310000")
    people.sign_out(signed_in.token)
    assert people.by_session(signed_in.token) is None


def test_wrong_password_and_unknown_name_say_and_cost_the_same(people: AccountService) -> None:
    people._hasher = PasswordHasher(time_cost=2, memory_cost=16384, parallelism=1)
    people.failures = 1000
    people.create("li.hua", PASSWORD, roles={"handler"})
    texts, times = set(), {"li.hua": [], "nobody": []}  # type: dict[str, list[float]]
    for name in ("li.hua", "nobody") * 9:
        start = time.perf_counter()
        with pytest.raises(BadCredentials) as refusal:
            people.authenticate(name, "wrong horse battery")
        times[name].append(time.perf_counter() - start)
        texts.add(refusal.value.message)
    assert len(texts) == 1
    known, unknown = (statistics.median(times[name][1:]) for name in ("li.hua", "nobody"))
    assert 0.5 < known / unknown < 2


@pytest.mark.parametrize("name", ["li.hua", "nobody"])
def test_a_name_is_locked_after_five_failures_whether_or_not_it_exists(people: AccountService, clock: Clock, name: str) -> None:
    people.create("li.hua", PASSWORD, roles={"handler"})
    for _ in range(5):
        with pytest.raises(BadCredentials):
            people.authenticate(name, "wrong horse battery")
    with pytest.raises(SignInLocked) as refusal:
        people.authenticate(name, PASSWORD)
    assert "15" in refusal.value.message_zh
    clock.pass_(minutes=16)
    if name == "li.hua":
        assert people.authenticate(name, PASSWORD).name == name
    else:
        with pytest.raises(BadCredentials):
            people.authenticate(name, PASSWORD)


def test_guessed_names_do_not_fill_the_database(people: AccountService, clock: Clock) -> None:
    for number in range(20):
        with pytest.raises(BadCredentials):
            people.authenticate(f"guess{number}", "wrong horse battery")
    clock.pass_(minutes=16)
    with pytest.raises(BadCredentials):
        people.authenticate("another", "wrong horse battery")
    with people.db.read() as session:
        assert session.scalar(sa.text("select count(*) from sign_in_failures")) == 1


def test_failures_before_a_success_are_forgotten(people: AccountService) -> None:
    people.create("li.hua", PASSWORD, roles={"handler"})
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(BadCredentials):
                people.authenticate("li.hua", "wrong horse battery")
        people.authenticate("li.hua", PASSWORD)


def test_a_session_ends_when_idle_and_in_any_case_after_twelve_hours(people: AccountService, clock: Clock) -> None:
    people.create("li.hua", PASSWORD, roles={"handler"})
    idle, used = people.sign_in("li.hua", PASSWORD).token, people.sign_in("li.hua", PASSWORD).token
    for _ in range(24):
        clock.pass_(minutes=29.9)
        assert people.by_session(used) is not None
    assert people.by_session(idle) is None
    clock.pass_(minutes=5)
    assert people.by_session(used) is None


def test_no_idle_limit_below_ten_minutes_can_be_set(people: AccountService) -> None:
    with pytest.raises(Misconfigured):
        AccountService(people.db, people.audit, "310000", idle=timedelta(minutes=9))


def test_officer_auditor_and_administrator_exclude_one_another(people: AccountService) -> None:
    with pytest.raises(RolesExclude):
        people.create("li.hua", PASSWORD, roles={"officer", "auditor"})
    people.create("li.hua", PASSWORD, roles={"officer", "handler"})
    with pytest.raises(RolesExclude):
        people.set_roles("li.hua", {"officer", "administrator"}, actor="local-operator")
    with pytest.raises(BadAccount):
        people.create("wang", PASSWORD, roles={"emperor"})


@pytest.mark.parametrize("name", ["", "A", "a", "Li.Hua", "li hua", "../x", "a" * 64, "李华"])
def test_names_that_could_be_mistaken_are_refused(people: AccountService, name: str) -> None:
    with pytest.raises(BadAccount):
        people.create(name, PASSWORD, roles=set())


@pytest.mark.parametrize("password", ["", "short", "li.hua-li.hua-li.hua", "x" * 257])
def test_passwords_that_are_short_long_or_hold_the_name_are_refused(people: AccountService, password: str) -> None:
    with pytest.raises(BadAccount):
        people.create("li.hua", password, roles=set())


def test_a_disabled_account_is_out_at_once(people: AccountService) -> None:
    people.create("li.hua", PASSWORD, roles={"handler"})
    _, bearer = people.issue_token("li.hua", "approval system")
    session = people.sign_in("li.hua", PASSWORD).token
    people.set_status("li.hua", "disabled", actor="local-operator")
    assert people.by_session(session) is None
    with pytest.raises(BadToken):
        people.by_token(bearer)
    with pytest.raises(BadCredentials):
        people.authenticate("li.hua", PASSWORD)


def test_changed_roles_and_passwords_act_on_open_sessions(people: AccountService) -> None:
    people.create("li.hua", PASSWORD, roles={"handler"})
    session = people.sign_in("li.hua", PASSWORD).token
    people.set_roles("li.hua", {"reviewer"}, actor="local-operator")
    found = people.by_session(session)
    assert found is not None
    assert found.roles == {"reviewer"}
    people.set_password("li.hua", "another long sentence", actor="local-operator")
    assert people.by_session(session) is None
    assert people.authenticate("li.hua", "another long sentence").name == "li.hua"


def test_a_system_calls_with_a_token_until_it_expires_or_is_revoked(people: AccountService, clock: Clock) -> None:
    people.create("approvals", None, roles={"seal_keeper"}, kind="system")
    token, bearer = people.issue_token("approvals", "approval system", days=30)
    assert people.by_token(bearer).kind == "system"
    clock.pass_(days=31)
    with pytest.raises(BadToken):
        people.by_token(bearer)
    other, second = people.issue_token("approvals", "approval system", days=30)
    people.revoke_token(other.id, actor="local-operator")
    with pytest.raises(BadToken):
        people.by_token(second)
    assert [t.status for t in people.tokens("approvals")] == ["expired", "revoked"]
    assert token.status == "active"
    with pytest.raises(BadToken):
        people.by_token("xinyin_unknown")


def test_the_database_holds_no_secret_that_opens_anything(people: AccountService, tmp_path: Path) -> None:
    people.create("li.hua", PASSWORD, roles={"handler"})
    _, bearer = people.issue_token("li.hua", "approval system")
    session = people.sign_in("li.hua", PASSWORD).token
    people.db.close()
    for file in tmp_path.glob("db.sqlite*"):
        content = file.read_bytes()
        for secret in (PASSWORD, bearer, session):
            assert secret.encode() not in content


def test_a_head_of_departments_reaches_those_below_and_not_beside(people: AccountService) -> None:
    top = people.create_department("云江市人民政府")
    bureau = people.create_department("云江市市场监督管理局", uscc="11990000MB0000000X", parent=top.id)
    desk = people.create_department("云江市市场监督管理局 登记科", parent=bureau.id)
    tax = people.create_department("云江市税务局", parent=top.id)
    made = people.create("li.hua", PASSWORD, roles={"seal_keeper"}, department=bureau.id)
    assert made.departments == {bureau.id, "11990000MB0000000X", desk.id}
    assert tax.id not in made.departments
    with pytest.raises(NoSuchDepartment):
        people.create_department("x", parent="dept_none")
    with pytest.raises(NameTaken):
        people.create_department("云江市税务局")


def test_names_are_taken_once_and_unknown_ones_are_said_to_be(people: AccountService) -> None:
    people.create("li.hua", PASSWORD, roles=set())
    with pytest.raises(NameTaken):
        people.create("li.hua", PASSWORD, roles=set())
    with pytest.raises(NoSuchAccount):
        people.get("wang")


def test_every_change_is_in_the_audit_log_without_secrets(people: AccountService) -> None:
    made = people.create("li.hua", PASSWORD, roles={"handler"})
    people.set_roles("li.hua", {"reviewer"}, actor="account_admin")
    people.set_password("li.hua", "another long sentence", actor="account_admin")
    people.set_status("li.hua", "disabled", actor="account_admin")
    history = people.audit.history(made.id)
    kinds = ["people.disabled", "people.password-changed", "people.roles-changed", "people.created"]
    assert [entry.kind for entry in history] == kinds
    assert history[2].data == {"before": ["handler"], "after": ["reviewer"]}
    assert "sentence" not in json.dumps([entry.data for entry in history])


def test_demo_people_have_random_passwords_on_disk_for_the_owner_only_and_none_in_production(
    people: AccountService, tmp_path: Path
) -> None:
    department = people.create_department("云江市行政审批局")
    with pytest.raises(NoDemoPeople):
        create_demo_people(people, tmp_path / "secrets", mode="production", department=department.id)
    assert people.accounts() == []
    made = create_demo_people(people, tmp_path / "secrets", mode="development", department=department.id)
    passwords = demo_passwords(tmp_path / "secrets")
    assert len(set(passwords.values())) == len(made) == len(PERSONAS)
    assert (tmp_path / "secrets" / "demo-accounts.json").stat().st_mode & 0o777 == 0o600
    for name, password in passwords.items():
        assert people.authenticate(name, password).department == department.id


def test_twenty_guesses_at_once_get_no_more_tries_than_one_after_another(people: AccountService) -> None:
    from concurrent.futures import ThreadPoolExecutor

    people.create("li.hua", PASSWORD, roles=set())

    def guess(_: int) -> str:
        try:
            people.authenticate("li.hua", "wrong horse battery")
        except (BadCredentials, SignInLocked) as exc:
            return exc.code
        return "in"

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(guess, range(20)))
    assert answers.count("bad-credentials") == 5
    assert answers.count("sign-in-locked") == 15


def test_session_tokens_are_never_reused(people: AccountService) -> None:
    people.create("li.hua", PASSWORD, roles=set())
    tokens = {people.sign_in("li.hua", PASSWORD).token for _ in range(20)}
    assert len(tokens) == 20
    with people.db.read() as session:
        assert session.scalar(sa.text("select count(*) from sessions")) == 20


def test_accounts_are_found_by_name_role_department_state_and_kind(people: AccountService) -> None:
    above = people.create_department("审批局").id
    below = people.create_department("一科", parent=above).id
    people.create("li.hua", PASSWORD, roles={"handler", "reviewer"}, department=below, display_name="李华 100%")
    people.create("oa", None, roles={"handler"}, kind="system", display_name="审批系统")
    people.create("wang", PASSWORD, roles={"signer_off"}, department=above, display_name="王芳")
    people.set_status("wang", "disabled", actor="local-operator")

    def names(**wanted: str) -> list[str]:
        return [one.name for one in people.accounts(**wanted)]  # type: ignore[arg-type]

    assert names(q="LI.H") == names(q="李华") == names(q="100%") == ["li.hua"]
    assert names(q="%") == ["li.hua"], "a percent sign is a percent sign"
    assert names(q="_") == []
    assert names(role="handler") == ["li.hua", "oa"]
    assert names(role="hand") == []
    assert names(department=above) == ["li.hua", "wang"]
    assert names(department=below) == ["li.hua"]
    assert names(status="disabled") == ["wang"]
    assert names(kind="system") == ["oa"]
    first = people.accounts(limit=1)
    assert [one.name for one in people.accounts(limit=5, after=first[0].id)] == ["oa", "wang"]


def test_a_department_moves_in_the_tree_and_never_below_itself(people: AccountService) -> None:
    city, bureau = people.create_department("云江市"), people.create_department("审批局")
    section = people.create_department("一科", parent=bureau.id)
    moved = people.change_department(bureau.id, parent=city.id, actor="local-operator")
    assert (moved.name, moved.parent) == ("审批局", city.id)
    for parent in (bureau.id, section.id):
        with pytest.raises(BadAccount):
            people.change_department(bureau.id, parent=parent, actor="local-operator")
    with pytest.raises(NameTaken):
        people.change_department(bureau.id, name="云江市", actor="local-operator")
    with pytest.raises(NoSuchDepartment):
        people.change_department("dept_0", name="x", actor="local-operator")


def test_colleagues_are_those_of_the_department_below_it_and_right_above(people: AccountService) -> None:
    city = people.create_department("云江市").id
    bureau, other = (people.create_department(name, parent=city).id for name in ("审批局", "监管局"))
    section = people.create_department("一科", parent=bureau).id
    for name, department in (("a.city", city), ("b.bureau", bureau), ("c.section", section), ("d.other", other)):
        people.create(name, None, roles={"handler"}, department=department)
    people.create("oa", None, roles={"handler"}, kind="system", department=bureau)
    people.create("e.gone", None, roles={"handler"}, department=bureau)
    people.set_status("e.gone", "disabled", actor="local-operator")

    def near(name: str) -> list[str]:
        return [one.name for one in people.colleagues(people.get(name))]

    assert near("b.bureau") == ["a.city", "c.section"]
    assert near("c.section") == ["b.bureau"]
    assert near("d.other") == ["a.city"]
