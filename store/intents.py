"""The path of a signature: intend, work, commit (docs/life-of-a-signature.md).

:meth:`IntentService.perform` is the only way in which sealing and issuing reach a key. Killed at any line and asked again with
the same idempotency key, it gives one result with one audit leaf; what a crash can cost is a second signature, and each belongs
to a numbered attempt.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crypto.errors import BadInput, Conflict, Unprocessable, XinyinError
from store.audit import leaves_of
from store.blobs import Blobs
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.ids import new_id
from store.models import AttemptRow, IntentRow, KeyUseRow

LEASE = timedelta(seconds=60)

# Every sealed document takes this path: its statements are made once and run on the tables, which costs less than half of what
# the ORM's unit of work does (3.7 instead of 9 ms of processor time a document).
_INTENTS = cast(sa.Table, IntentRow.__table__)
_ATTEMPTS = cast(sa.Table, AttemptRow.__table__)
_USES = cast(sa.Table, KeyUseRow.__table__)
_NEW_INTENT, _NEW_ATTEMPT, _NEW_USE = sa.insert(_INTENTS), sa.insert(_ATTEMPTS), sa.insert(_USES)
_BY_KEY = (
    sa.select(_INTENTS)
    .where(_INTENTS.c.account == sa.bindparam("p_account"), _INTENTS.c.key == sa.bindparam("p_key"))
    .with_for_update()
)
_BY_ID = sa.select(_INTENTS).where(_INTENTS.c.id == sa.bindparam("p_id")).with_for_update()
_ANY_USE = sa.select(_USES.c.id).where(_USES.c.intent_id == sa.bindparam("p_id")).limit(1)
_OF_ATTEMPT = sa.and_(
    _INTENTS.c.id == sa.bindparam("p_id"),
    _INTENTS.c.status == "running",
    _INTENTS.c.attempt == sa.bindparam("p_attempt"),
    _INTENTS.c.lease_token == sa.bindparam("p_token"),
)
_UPDATE = sa.update(_INTENTS).where(_INTENTS.c.id == sa.bindparam("p_id"))
_UPDATE_IF_HELD = sa.update(_INTENTS).where(_OF_ATTEMPT)
_END_ATTEMPT = sa.update(_ATTEMPTS).where(
    _ATTEMPTS.c.intent_id == sa.bindparam("p_id"), _ATTEMPTS.c.number == sa.bindparam("p_attempt")
)
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


class IdempotencyMismatch(Unprocessable):
    """The idempotency key was used for another request."""

    code = "idempotency-mismatch"


class StillRunning(Conflict):
    """The first request with this idempotency key is still at work."""

    code = "still-running"


class AttemptSuperseded(Conflict):
    """Another attempt took over after this one's lease had ended; its result counts."""

    code = "attempt-superseded"


class BadIdempotencyKey(BadInput):
    """An idempotency key that cannot be kept."""

    code = "bad-idempotency-key"


class UseRefused(Conflict):
    """A key was asked to sign outside a living attempt that names it."""

    code = "key-use-refused"


@dataclass(frozen=True)
class Attempt:
    """Attempt ``number`` (from 1) of an intent; ``token`` is its lease, which the signer checks before it touches a key."""

    intent_id: str
    number: int
    token: str = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """What the work made: ``artefact`` is stored as a blob before the commit (or ``blob`` names one that is there already);
    ``value`` is handed on to the commit as it is."""

    artefact: bytes | None = None
    blob: str | None = None
    value: Any = None


@dataclass(frozen=True)
class Result:
    """The stored result: ``result`` is what the commit returned (plain JSON), ``blob`` the artefact's digest."""

    replayed: bool
    result: dict[str, Any]
    blob: str | None
    intent_id: str
    attempt: int
    artefact: bytes | None = field(default=None, repr=False, compare=False)
    """Its bytes where this very call made them."""


@dataclass(frozen=True)
class _Request:
    account: str
    operation: str
    key: str
    fresh: bool
    """The key was made for it: there cannot be a row."""
    digest: str
    subject: Mapping[str, Any]
    generation_ids: Sequence[str]


class IntentService:
    """Runs work that uses a key once for each ``(account, idempotency key)``.

    :param lease: how long an attempt may go without being finished or renewed before another may take over. An attempt whose
        process is seen to be dead on this machine loses its lease at once, so that a restart need not wait.
    """

    def __init__(
        self, db: Database, blobs: Blobs, region: str, *, lease: timedelta = LEASE, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.db = db
        self.blobs = blobs
        self.region = region
        self.lease = lease
        self._now = now

    def perform(
        self,
        *,
        account: str,
        operation: str,
        key: str | None,
        request_digest: str,
        subject: Mapping[str, Any],
        generation_ids: Sequence[str],
        work: Callable[[Attempt], Outcome],
        commit: Callable[[Session, Outcome, Attempt], Mapping[str, Any]],
        wait: float = 0.0,
    ) -> Result:
        """Intend, then ``work(attempt)`` outside any transaction, then ``commit(session, outcome, attempt)`` with the result.

        ``commit`` writes the rows and at least one audit leaf, and returns the result as plain JSON; it may be called again
        when its transaction loses a race, so it must do nothing else. ``request_digest`` (SHA-256 hex) covers everything
        that makes the request what it is. Input documents are blobs before this is called, and ``subject`` names them.

        The same request again gives the stored result (``replayed``). A request that was refused before any key was used leaves
        its idempotency key free: mend the input and send it again under the same key.

        :param key: the caller's idempotency key, 1 to 255 printable ASCII characters; None makes one
        :param wait: seconds to wait for another attempt that is at work on the same request
        :raises IdempotencyMismatch: the key belongs to another request
        :raises StillRunning: the same request is at work elsewhere and did not end within ``wait``
        :raises AttemptSuperseded: this attempt took longer than its lease and another one took over
        """
        request = _Request(account, operation, _checked_key(key), key is None, request_digest, subject, generation_ids)
        deadline = time.monotonic() + wait
        while True:
            begun = self._begin(request)
            if isinstance(begun, Result):
                return begun
            if isinstance(begun, Attempt):
                return self._carry_out(begun, work, commit)
            if time.monotonic() >= deadline:
                raise begun
            time.sleep(0.05)

    def renew(self, attempt: Attempt) -> None:
        """Extend the lease of an attempt whose work takes long.

        :raises AttemptSuperseded: another attempt has taken over
        """

        def extend(session: Session) -> None:
            now = self._now()
            if not _update_if_held(session, attempt, lease_until=now + self.lease, updated_at=now):
                raise _superseded(attempt)

        self.db.run(extend)

    # -- intend ---------------------------------------------------------------------------------------------------------

    def _begin(self, request: _Request) -> Result | Attempt | StillRunning:
        def begin(session: Session) -> Result | Attempt | StillRunning:
            values = {"p_account": request.account, "p_key": request.key}
            row = None if request.fresh else session.connection().execute(_BY_KEY, values).one_or_none()
            if row is None:
                attempt = self._insert(session, request)
            else:
                found = self._reopen(session, row, request)
                if not isinstance(found, Attempt):
                    return found
                attempt = found
            crash_point("intent.begin-uncommitted")
            return attempt

        for _ in range(3):
            try:
                begun = self.db.run(begin)
            except IntegrityError:
                continue  # another request with this key was first (PostgreSQL); it is there to be read now
            crash_point("intent.begun")
            return begun
        return _still_running(request)

    def _insert(self, session: Session, request: _Request) -> Attempt:
        now, attempt = self._now(), Attempt(new_id("intent"), 1, secrets.token_hex(16))
        session.connection().execute(
            _NEW_INTENT,
            {
                "id": attempt.intent_id,
                "region": self.region,
                "account": request.account,
                "key": request.key,
                "created_at": now,
                **self._running(attempt, request, now),
            },
        )
        self._insert_attempt(session, attempt, request, now)
        return attempt

    def _reopen(self, session: Session, row: sa.Row[Any], request: _Request) -> Result | Attempt | StillRunning:
        same = row.request_digest == request.digest and row.operation == request.operation
        if not same and not (row.status == "failed" and not _used_a_key(session, row.id)):
            raise IdempotencyMismatch(
                "This idempotency key was already used for another request; use a new key for a new request.",
                "该幂等键已用于另一请求；新请求请使用新的幂等键。",
                intent=row.id,
            )
        if row.status == "done":
            return Result(True, dict(row.result or {}), row.blob, row.id, row.attempt)
        now = self._now()
        if row.status == "running" and row.lease_until > now and not _owner_is_dead(row.lease_owner):
            return _still_running(request)
        if row.status == "running":
            _end_attempt(session, Attempt(row.id, row.attempt, ""), "superseded", now)
        attempt = Attempt(row.id, row.attempt + 1, secrets.token_hex(16))
        session.connection().execute(_UPDATE, {"p_id": row.id, **self._running(attempt, request, now)})
        self._insert_attempt(session, attempt, request, now)
        return attempt

    def _running(self, attempt: Attempt, request: _Request, now: datetime) -> dict[str, Any]:
        """The columns that each attempt sets anew."""
        return {
            "operation": request.operation,
            "request_digest": request.digest,
            "subject": dict(request.subject),
            "generation_ids": list(request.generation_ids),
            "status": "running",
            "attempt": attempt.number,
            "lease_token": attempt.token,
            "lease_owner": this_process(),
            "lease_until": now + self.lease,
            "error": None,
            "updated_at": now,
        }

    def _insert_attempt(self, session: Session, attempt: Attempt, request: _Request, now: datetime) -> None:
        session.connection().execute(
            _NEW_ATTEMPT,
            {
                "intent_id": attempt.intent_id,
                "number": attempt.number,
                "region": self.region,
                "request_digest": request.digest,
                "owner": this_process(),
                "started_at": now,
            },
        )

    # -- work and commit ------------------------------------------------------------------------------------------------

    def _carry_out(
        self,
        attempt: Attempt,
        work: Callable[[Attempt], Outcome],
        commit: Callable[[Session, Outcome, Attempt], Mapping[str, Any]],
    ) -> Result:
        try:
            outcome = work(attempt)
            crash_point("intent.worked")
            blob = self.blobs.put(outcome.artefact) if outcome.artefact is not None else outcome.blob
            crash_point("intent.artefact-stored")
            result = self.db.run(lambda session: self._finish(session, attempt, outcome, blob, commit))
        except BaseException as exc:
            self._record_failure(attempt, exc)
            raise
        crash_point("intent.committed")
        return Result(False, result, blob, attempt.intent_id, attempt.number, outcome.artefact)

    def _finish(
        self,
        session: Session,
        attempt: Attempt,
        outcome: Outcome,
        blob: str | None,
        commit: Callable[[Session, Outcome, Attempt], Mapping[str, Any]],
    ) -> dict[str, Any]:
        now = self._now()
        # The compare-and-set comes first: it locks the row, so an attempt that was superseded writes nothing at all.
        if not _update_if_held(session, attempt, status="done", updated_at=now):
            raise _superseded(attempt)
        result = dict(commit(session, Outcome(None, blob, outcome.value), attempt))
        leaves = leaves_of(session)
        if not leaves:
            raise RuntimeError("the commit of an intent must append an audit leaf")
        session.flush()
        values = {"p_id": attempt.intent_id, "result": result, "blob": blob, "leaf_id": leaves[0]}
        session.connection().execute(_UPDATE, values)
        _end_attempt(session, attempt, "committed", now)
        crash_point("intent.commit-uncommitted")
        return result

    def _record_failure(self, attempt: Attempt, exc: BaseException) -> None:
        """Free the lease at once: whoever asks again need not wait for it. Never hides ``exc``."""
        if isinstance(exc, XinyinError):
            error: dict[str, Any] = {"code": exc.code, "message": exc.message, "message_zh": exc.message_zh}
        else:  # the text of a foreign exception may hold personal data; its kind is enough
            error = {"code": "internal", "message": type(exc).__name__, "message_zh": type(exc).__name__}

        def record(session: Session) -> None:
            now = self._now()
            if _update_if_held(session, attempt, status="failed", error=error, updated_at=now):
                _end_attempt(session, attempt, "failed", now)

        try:
            self.db.run(record)
        except Exception as failure:  # noqa: BLE001 - the lease then runs out by itself; the first error is what counts
            exc.add_note(f"the failure could not be recorded: {type(failure).__name__}")


def check_use(session: Session, attempt: Attempt, generation_id: str, *, now: datetime) -> str:
    """What the signer asks before a key that seals or issues is used: is this the living attempt of an intent naming it?

    :returns: the intent's region
    :raises UseRefused: no such intent, ended, superseded, lease over or not held, or the intent does not name the generation
    """
    row = session.connection().execute(_BY_ID, {"p_id": attempt.intent_id}).one_or_none()
    if row is None:
        raise _use_refused("there is no such intent", attempt)
    if row.status != "running" or row.attempt != attempt.number:
        raise _use_refused("the attempt has ended", attempt)
    if not secrets.compare_digest(row.lease_token, attempt.token):
        raise _use_refused("the lease is not this attempt's", attempt)
    if row.lease_until <= now:
        raise _use_refused("the lease has ended", attempt)
    if generation_id not in row.generation_ids:
        raise _use_refused("the intent does not name this key generation", attempt)
    return str(row.region)


def record_use(session: Session, attempt: Attempt, generation_id: str, message_digest: str, *, now: datetime) -> str:
    """Check (see :func:`check_use`) and write the row that must be committed before the token signs; the row's identifier.

    :param message_digest: SHA-256 of the message to be signed, lower-case hex
    """
    use = {
        "id": new_id("use"),
        "region": check_use(session, attempt, generation_id, now=now),
        "generation_id": generation_id,
        "intent_id": attempt.intent_id,
        "attempt": attempt.number,
        "message_digest": message_digest,
        "at": now,
    }
    session.connection().execute(_NEW_USE, use)
    return str(use["id"])


@lru_cache(maxsize=4)
def _identity(pid: int) -> str:
    """``boot:pid-namespace:pid:start time``, so that a number used again is not taken for the process that had it before."""
    start = _start_time(pid)
    if start is None:
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}|{os.readlink('/proc/self/ns/pid')}|{pid}|{start}"
    except OSError:
        return ""


def this_process() -> str:
    """This process as the owner of leases; empty where there is no /proc, and then only the lease's time counts."""
    return _identity(os.getpid())


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat (the command's name, which may hold anything, ends at the last parenthesis); None if gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def _owner_is_dead(owner: str) -> bool:
    """Whether the process that holds a lease is known to be gone; one on another machine or in another container is not."""
    mine, theirs = this_process().split("|"), owner.split("|")
    if len(mine) != 4 or len(theirs) != 4 or mine[:1] != theirs[:1]:
        return False
    if mine[1] != theirs[1]:
        return False
    return _start_time(int(theirs[2])) != theirs[3]


def _checked_key(key: str | None) -> str:
    if key is None:
        return new_id("auto")
    if not _KEY.match(key):
        raise BadIdempotencyKey(
            "An idempotency key is 1 to 255 printable ASCII characters without spaces.",
            "幂等键须为 1 至 255 个可打印的 ASCII 字符，不含空格。",
        )
    return key


def _used_a_key(session: Session, intent_id: str) -> bool:
    return session.connection().execute(_ANY_USE, {"p_id": intent_id}).one_or_none() is not None


def _update_if_held(session: Session, attempt: Attempt, **values: Any) -> bool:
    """Compare-and-set on attempt and lease: whether this attempt still was the running one."""
    held = {"p_id": attempt.intent_id, "p_attempt": attempt.number, "p_token": attempt.token}
    return session.connection().execute(_UPDATE_IF_HELD, {**held, **values}).rowcount == 1


def _end_attempt(session: Session, attempt: Attempt, outcome: str, now: datetime) -> None:
    held = {"p_id": attempt.intent_id, "p_attempt": attempt.number}
    session.connection().execute(_END_ATTEMPT, {**held, "outcome": outcome, "ended_at": now})


def _still_running(request: _Request) -> StillRunning:
    return StillRunning(
        "The same request is still being worked on; ask again in a few seconds with the same idempotency key.",
        "同一请求仍在处理中；请稍候几秒，用相同的幂等键重试。",
        operation=request.operation,
    )


def _superseded(attempt: Attempt) -> AttemptSuperseded:
    return AttemptSuperseded(
        "This attempt outlived its lease and another one took over; ask again with the same idempotency key for the result.",
        "本次尝试超过租期，已由另一次尝试接管；请用相同的幂等键再次查询结果。",
        intent=attempt.intent_id,
        attempt=attempt.number,
    )


def _use_refused(why: str, attempt: Attempt) -> UseRefused:
    return UseRefused(
        f"The key was not used: {why}. Start the request again with the same idempotency key.",
        "未使用密钥：该签署请求的本次尝试已失效或未指明该密钥。请用相同的幂等键重新提交请求。",
        why=why,
        intent=attempt.intent_id,
        attempt=attempt.number,
    )
