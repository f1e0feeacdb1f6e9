"""The path of a signature: one result for an idempotency key, whatever happens on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput
from store import intents as intents_module
from store.audit import AuditLog
from store.blobs import BlobStore
from store.db import Database, utc_now
from store.intents import (
    Attempt,
    AttemptSuperseded,
    BadIdempotencyKey,
    IdempotencyMismatch,
    IntentService,
    Outcome,
    Result,
    StillRunning,
    UseRefused,
    record_use,
)
from store.models import AttemptRow, AuditLeafRow, IntentRow, KeyUseRow

GENERATION = "gen_1"
A, B = "a" * 64, "b" * 64
ON_POSTGRESQL = {
    "test_the_same_request_again_gives_the_stored_result_and_artefact",
    "test_a_refusal_leaves_the_key_free_for_the_mended_request",
    "test_once_a_key_was_used_a_failed_request_may_be_repeated_but_not_changed",
    "test_a_commit_that_fails_leaves_nothing_behind",
    "test_an_attempt_that_outlives_its_lease_is_overtaken_and_cannot_sign_or_commit",
    "test_two_requests_at_once_with_one_key_give_one_result",
    "test_a_hundred_requests_on_eight_threads_give_a_hundred_results",
    "test_a_key_is_used_only_by_the_living_attempt_of_an_intent_that_names_it",
}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Desk:
    """A service that seals bytes by appending to them, with a real database, blobs and log."""

    def __init__(self, db: Database, home: Path, clock: Any = utc_now) -> None:
        self.db = db
        self.blobs = BlobStore(home / "blobs")
        self.audit = AuditLog(self.db, "310000", now=clock)
        self.clock = clock
        self.intents = IntentService(self.db, self.blobs, "310000", now=clock)
        self.signatures = 0

    def use_key(self, attempt: Attempt, generation: str = GENERATION) -> None:
        self.db.run(lambda session: record_use(session, attempt, generation, A, now=self.clock()))
        self.signatures += 1

    def work(self, attempt: Attempt) -> Outcome:
        self.use_key(attempt)
        return Outcome(artefact=b"sealed by attempt %d" % attempt.number, value={"pages": 1})

    def commit(self, session: Session, outcome: Outcome, attempt: Attempt) -> Mapping[str, Any]:
        subject = {"intent": attempt.intent_id}
        self.audit.append(session, kind="seal.applied", actor="account_1", subject=subject, data={"blob": outcome.blob})
        return {"number": attempt.number, **outcome.value}

    def seal(self, key: str | None = "k", digest: str = A, account: str = "account_1", **other: Any) -> Result:
        arguments: dict[str, Any] = {
            "operation": "seal.apply",
            "subject": {"seal": "seal_1"},
            "generation_ids": [GENERATION],
            "work": self.work,
            "commit": self.commit,
            **other,
        }
        return self.intents.perform(account=account, key=key, request_digest=digest, **arguments)

    def count(self, table: type[Any]) -> int:
        with self.db.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(database: Database, tmp_path: Path, clock: Clock) -> Desk:
    return Desk(database, tmp_path, clock)


def refuse(attempt: Attempt) -> Outcome:
    raise BadInput("The document needs a password.", "文件需要密码。")


def test_the_same_request_again_gives_the_stored_result_and_artefact(desk: Desk) -> None:
    first, again = desk.seal(), desk.seal()
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.result, again.blob, again.intent_id) == (first.result, first.blob, first.intent_id)
    assert first.blob is not None
    assert desk.blobs.get(first.blob) == b"sealed by attempt 1"
    assert (desk.signatures, desk.count(AuditLeafRow), desk.count(KeyUseRow)) == (1, 1, 1)


def test_another_request_with_the_same_key_is_refused_and_another_account_has_keys_of_its_own(desk: Desk) -> None:
    desk.seal()
    with pytest.raises(IdempotencyMismatch) as refusal:
        desk.seal(digest=B)
    assert refusal.value.status == 422
    with pytest.raises(IdempotencyMismatch):
        desk.seal(operation="licence.issue")
    assert not desk.seal(digest=B, account="account_2").replayed


def test_without_a_key_every_request_is_a_new_one(desk: Desk) -> None:
    assert desk.seal(key=None).intent_id != desk.seal(key=None).intent_id


@pytest.mark.parametrize("key", ["", " ", "a b", "键", "x" * 256, "a\n"])
def test_keys_that_cannot_be_kept_are_refused(desk: Desk, key: str) -> None:
    with pytest.raises(BadIdempotencyKey):
        desk.seal(key=key)


def test_a_refusal_leaves_the_key_free_for_the_mended_request(desk: Desk) -> None:
    with pytest.raises(BadInput, match="password"):
        desk.seal(work=refuse)
    with desk.db.read() as session:
        row = session.scalars(sa.select(IntentRow)).one()
    assert row.status == "failed"
    assert row.error == {"code": "bad-input", "message": "The document needs a password.", "message_zh": "文件需要密码。"}
    mended = desk.seal(digest=B)
    assert (mended.attempt, mended.replayed) == (2, False)
    assert desk.count(IntentRow) == 1
    with desk.db.read() as session:
        attempts = session.scalars(sa.select(AttemptRow).order_by(AttemptRow.number)).all()
    assert [(row.outcome, row.request_digest) for row in attempts] == [("failed", A), ("committed", B)]


def test_once_a_key_was_used_a_failed_request_may_be_repeated_but_not_changed(desk: Desk) -> None:
    def sign_and_fail(attempt: Attempt) -> Outcome:
        desk.use_key(attempt)
        raise BadInput("The timestamp unit does not answer.", "时间戳服务无响应。")

    with pytest.raises(BadInput):
        desk.seal(work=sign_and_fail)
    with pytest.raises(IdempotencyMismatch):
        desk.seal(digest=B)
    assert desk.seal().attempt == 2
    with desk.db.read() as session:
        assert session.execute(sa.select(KeyUseRow.attempt).order_by(KeyUseRow.attempt)).scalars().all() == [1, 2]


def test_a_foreign_exception_is_recorded_by_its_kind_only(desk: Desk) -> None:
    def stumble(attempt: Attempt) -> Outcome:
        raise ValueError("张三 110101199003074258")

    with pytest.raises(ValueError):
        desk.seal(work=stumble)
    with desk.db.read() as session:
        assert session.scalars(sa.select(IntentRow)).one().error == {
            "code": "internal",
            "message": "ValueError",
            "message_zh": "ValueError",
        }
    assert desk.seal().attempt == 2


def test_a_commit_that_fails_leaves_nothing_behind(desk: Desk) -> None:
    def half(session: Session, outcome: Outcome, attempt: Attempt) -> Mapping[str, Any]:
        desk.commit(session, outcome, attempt)
        raise BadInput("The register is closed.", "登记已关闭。")

    with pytest.raises(BadInput):
        desk.seal(commit=half)
    assert desk.count(AuditLeafRow) == 0
    assert desk.seal().attempt == 2
    assert desk.count(AuditLeafRow) == 1


def test_a_result_without_an_audit_leaf_is_not_committed(desk: Desk) -> None:
    with pytest.raises(RuntimeError, match="audit leaf"):
        desk.seal(commit=lambda session, outcome, attempt: {})
    with desk.db.read() as session:
        assert session.scalars(sa.select(IntentRow)).one().status == "failed"


def test_while_the_lease_lives_the_same_request_is_told_to_wait(desk: Desk) -> None:
    def ask_again(attempt: Attempt) -> Outcome:
        with pytest.raises(StillRunning) as refusal:
            desk.seal(work=refuse)
        assert refusal.value.status == 409
        with pytest.raises(IdempotencyMismatch):
            desk.seal(digest=B)
        return desk.work(attempt)

    assert desk.seal(work=ask_again).attempt == 1


def test_an_attempt_that_outlives_its_lease_is_overtaken_and_cannot_sign_or_commit(desk: Desk, clock: Clock) -> None:
    def dawdle(attempt: Attempt) -> Outcome:
        clock.now += timedelta(seconds=61)
        taken = desk.seal()
        assert (taken.attempt, taken.replayed) == (2, False)
        with pytest.raises(UseRefused):
            desk.use_key(attempt)
        with pytest.raises(AttemptSuperseded):
            desk.intents.renew(attempt)
        return Outcome(artefact=b"too late", value={})

    with pytest.raises(AttemptSuperseded):
        desk.seal(work=dawdle)
    final = desk.seal()
    assert (final.replayed, final.result["number"]) == (True, 2)
    assert desk.count(AuditLeafRow) == 1
    with desk.db.read() as session:
        attempts = session.scalars(sa.select(AttemptRow).order_by(AttemptRow.number)).all()
    assert [row.outcome for row in attempts] == ["superseded", "committed"]


def test_a_renewed_lease_is_not_overtaken(desk: Desk, clock: Clock) -> None:
    def slow(attempt: Attempt) -> Outcome:
        for _ in range(3):
            clock.now += timedelta(seconds=50)
            desk.intents.renew(attempt)
        with pytest.raises(StillRunning):
            desk.seal()
        return desk.work(attempt)

    assert desk.seal(work=slow).attempt == 1


def test_the_lease_of_a_dead_process_ends_with_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    boot, namespace, _, _ = intents_module.this_process().split("|")

    def leave(attempt: Attempt) -> Outcome:
        with desk.db.write() as session:  # as if process 4194304 (beyond any real number) had begun this attempt
            session.execute(sa.update(IntentRow).values(lease_owner=f"{boot}|{namespace}|4194304|17"))
        assert desk.seal(work=desk.work).attempt == 2
        raise BadInput("x", "x")

    with pytest.raises(BadInput):
        desk.seal(work=leave)


@pytest.mark.parametrize("owner", ["", "other-boot|{ns}|4194304|17", "{boot}|pid:[1]|4194304|17", "garbage"])
def test_the_lease_of_a_process_that_cannot_be_seen_lasts_its_time(desk: Desk, owner: str) -> None:
    boot, namespace, _, _ = intents_module.this_process().split("|")

    def leave(attempt: Attempt) -> Outcome:
        with desk.db.write() as session:
            session.execute(sa.update(IntentRow).values(lease_owner=owner.format(boot=boot, ns=namespace)))
        with pytest.raises(StillRunning):
            desk.seal()
        return desk.work(attempt)

    assert desk.seal(work=leave).attempt == 1


def test_two_requests_at_once_with_one_key_give_one_result(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path)
    barrier = threading.Barrier(8)

    def slow(attempt: Attempt) -> Outcome:
        time.sleep(0.2)
        return desk.work(attempt)

    def ask(number: int) -> Result | str:
        barrier.wait()
        try:
            return desk.seal(work=slow, wait=10 if number % 2 else 0)
        except StillRunning as exc:
            return exc.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    results = [answer for answer in answers if isinstance(answer, Result)]
    assert len(results) >= 4
    assert {(result.intent_id, result.blob, result.attempt) for result in results} == {
        (results[0].intent_id, results[0].blob, 1)
    }
    assert sum(not result.replayed for result in results) == 1
    assert (desk.signatures, desk.count(AuditLeafRow), desk.count(IntentRow)) == (1, 1, 1)


def test_a_hundred_requests_on_eight_threads_give_a_hundred_results(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: desk.seal(key=f"k{number % 100}", wait=20), range(200)))
    assert len({result.intent_id for result in results}) == 100
    assert (desk.count(AuditLeafRow), desk.count(KeyUseRow), desk.count(IntentRow)) == (100, 100, 100)


def test_a_key_is_used_only_by_the_living_attempt_of_an_intent_that_names_it(desk: Desk, clock: Clock) -> None:
    def work(attempt: Attempt) -> Outcome:
        for bad in (
            Attempt("intent_none", 1, attempt.token),
            Attempt(attempt.intent_id, 2, attempt.token),
            Attempt(attempt.intent_id, 1, "0" * 32),
        ):
            with pytest.raises(UseRefused):
                desk.use_key(bad)
        with pytest.raises(UseRefused):
            desk.use_key(attempt, "gen_2")
        clock.now += timedelta(seconds=61)
        with pytest.raises(UseRefused):
            desk.use_key(attempt)
        desk.intents.renew(attempt)
        return desk.work(attempt)

    kept: list[Attempt] = []
    desk.seal(work=lambda attempt: (kept.append(attempt), work(attempt))[1])
    with pytest.raises(UseRefused):
        desk.use_key(kept[0])
    assert desk.count(KeyUseRow) == 1


def test_a_lease_token_is_not_shown_by_repr() -> None:
    assert "secret" not in repr(Attempt("intent_1", 1, "secret"))
