"""Before a token signs: is the use allowed, and is it on record? The custodian that owns the tokens of a home."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput, XinyinError
from crypto.keys import PublicKey
from crypto.suites import SCHEMES, Scheme, Suite
from hsm import rules
from hsm.config import HsmConfig
from hsm.errors import KeyMissing, KeyStateForbids, NoSuchGeneration
from hsm.models import KeyGenerationRow, KeyRoleRow, KeyUseCountRow
from hsm.schemas import KeyPurpose, KeyState, Use
from hsm.tokenhost import TokenHost
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.intents import Attempt, UseRefused, record_use
from store.models import KeyUseRow

_REMEMBER = 1.0
"""Seconds for which a generation's row is remembered for routine uses; a change through KeyService is told at once."""
_ALWAYS = math.inf
_FLUSH_EVERY = 1.0
MAX_MESSAGE = 16 * 1024 * 1024

# Asked for every sealed document: made once, and on the tables, which costs half of what the ORM does.
_GENERATION, _USE = KeyGenerationRow.__table__.c, KeyUseRow.__table__.c
_OF_ATTEMPT = sa.and_(
    _USE.intent_id == sa.bindparam("p_intent"), _USE.attempt == sa.bindparam("p_attempt"), _USE.generation_id == _GENERATION.id
)
_STATE_AND_SIGNED = (
    sa.select(_GENERATION.state, _USE.message_digest)
    .select_from(sa.outerjoin(KeyGenerationRow.__table__, KeyUseRow.__table__, _OF_ATTEMPT))
    .where(_GENERATION.id == sa.bindparam("p_key"))
)


@dataclass(frozen=True)
class _Key:
    """What the custodian needs of a generation and its role."""

    id: str
    purpose: KeyPurpose
    suite: Suite
    bits: int
    name: str
    custody: str
    state: KeyState
    token: str
    key_id: str
    public: PublicKey | None


@dataclass
class _Entry:
    """A use of a key that waits to be written."""

    attempt: Attempt
    key: _Key
    digest: str
    done: bool = False
    error: Exception | None = None
    at: datetime = field(default_factory=utc_now)


class LocalCustodian:
    """Tokens opened in this process, uses checked and written in the database."""

    def __init__(self, config: HsmConfig, db: Database | None = None) -> None:
        self.config = config
        self.db = db or Database.open(config.database_url)
        self._owns_db = db is None
        self.host = TokenHost(config)
        self._known: dict[str, tuple[float, _Key]] = {}
        self._uses = _UseBook(self.db)
        self._counts = _CountBook(self.db)

    def close(self) -> None:
        self._counts.close()
        self.host.close()
        if self._owns_db:
            self.db.close()

    def status(self) -> dict[str, Any]:
        return self.host.describe()

    def examine(self) -> list[dict[str, Any]]:
        return self.host.examine()

    def refresh(self, generation_id: str) -> None:
        self._known.pop(generation_id, None)

    def lend_pin(self, token: str, pin: str, seconds: float) -> None:
        """See :meth:`hsm.tokenhost.TokenHost.lend_pin`; the root's token only, the other one is always logged in."""
        if token != self.config.root_token:
            raise BadInput("Only the root CA's token is logged in by hand.", "只有根 CA 的令牌需要手工登录。", token=token)
        self.host.lend_pin(token, pin, seconds)

    def sign(self, generation_id: str, message: bytes, scheme: str, use: Use) -> bytes:
        """Check, write down, sign, verify.

        :raises UseRefused: the attempt is not the living one of an intent that names this generation
        :raises PurposeForbids: the key's purpose does not cover the use
        :raises KeyStateForbids: its state does not
        :raises FaultySignature: the token signed wrongly; nothing is returned
        """
        if len(message) > MAX_MESSAGE:
            raise _bad_request("the message is over 16 MiB", "待签内容超过 16 MiB")
        if isinstance(use, Attempt):
            key = self._look_up(generation_id, within=_ALWAYS)  # its state is read where the use is written
            chosen = _scheme(scheme, key.suite)
            self._uses.write(_Entry(use, key, hashlib.sha256(message).hexdigest()))
            crash_point("signer.use-recorded")
        else:
            key = self._look_up(generation_id, within=_REMEMBER)
            chosen = _scheme(scheme, key.suite)
            rules.check_routine(key.purpose, key.state, use, message, _public(key).spki)
            self._counts.add(generation_id, use)
        signature = self._sign(key, message, chosen)
        crash_point("signer.signed")
        return signature

    def generate(self, generation_id: str) -> dict[str, Any]:
        key = self._look_up(generation_id)
        if key.state is not KeyState.staged:
            raise rules.state_forbids(key.state, "generate")
        if key.custody == "software":
            return self.host.generate_software(key.key_id, key.suite, key.bits)
        return self.host.generate(
            key.token, bytes.fromhex(key.key_id), key.suite, key.bits, f"{key.name[:80]} {key.key_id[:8]}"
        )

    def destroy(self, generation_id: str) -> int:
        """:raises KeyStateForbids: only a staged or retired key is destroyed"""
        key = self._look_up(generation_id)
        if key.state not in (KeyState.staged, KeyState.retired, KeyState.destroyed):
            raise KeyStateForbids(
                f"This key is {key.state}; retire it before it is destroyed.",
                f"该密钥处于 {key.state} 状态；销毁前请先停用（retire）。",
                state=str(key.state),
            )
        self.refresh(generation_id)
        if key.custody == "software":
            return self.host.destroy_software(key.key_id)
        return self.host.destroy(key.token, bytes.fromhex(key.key_id))

    def _sign(self, key: _Key, message: bytes, scheme: Scheme) -> bytes:
        if key.custody == "software":
            return self.host.sign_software(key.key_id, _public(key), message, scheme)
        return self.host.sign(key.token, bytes.fromhex(key.key_id), _public(key), message, scheme)

    def _look_up(self, generation_id: str, *, within: float = 0.0) -> _Key:
        """:param within: seconds for which it may have been remembered; all but the state of a made key never changes"""
        now = time.monotonic()
        known = self._known.get(generation_id)
        if known and known[1].public is not None and now - known[0] < within:
            return known[1]
        with self.db.read() as session:
            key = _read_key(session, generation_id)
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[generation_id] = (now, key)
        return key


def _read_key(session: Session, generation_id: str) -> _Key:
    statement = (
        sa.select(KeyGenerationRow, KeyRoleRow)
        .join(KeyRoleRow, KeyRoleRow.id == KeyGenerationRow.role_id)
        .where(KeyGenerationRow.id == generation_id)
    )
    found = session.execute(statement).one_or_none()
    if found is None:
        raise NoSuchGeneration(
            "There is no key generation with this identifier; look it up with xinyin key list.",
            "没有此编号的密钥代；请用 xinyin key list 查询。",
            generation=generation_id,
        )
    row, role = found
    return _Key(
        id=row.id,
        purpose=KeyPurpose(role.purpose),
        suite=Suite(role.suite),
        bits=role.bits,
        name=role.name,
        custody=row.custody,
        state=KeyState(row.state),
        token=row.token_label,
        key_id=row.key_id,
        public=PublicKey.from_spki(row.public_key) if row.public_key else None,
    )


def _public(key: _Key) -> PublicKey:
    if key.public is None:
        raise KeyMissing(
            "This generation's key was never made; stage it again.",
            "该代密钥尚未生成；请重新执行生成（stage）。",
            generation=key.id,
        )
    return key.public


def _scheme(name: str, suite: Suite) -> Scheme:
    scheme = SCHEMES.get(name)
    if scheme is None or scheme.suite is not suite:
        raise _bad_request(f"a {suite} key does not sign with {name!r}", f"{suite} 密钥不能使用 {name!r} 签名")
    return scheme


def _bad_request(why: str, why_zh: str) -> BadInput:
    return BadInput(f"Nothing was signed: {why}.", f"未产生签名：{why_zh}。")


class _UseBook:
    """Writes uses of keys that seal or issue, committed before the token signs; callers that wait together share one commit."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._guard = threading.Lock()
        self._commit = threading.Lock()
        self._waiting: list[_Entry] = []

    def write(self, entry: _Entry) -> None:
        """:raises UseRefused: see :func:`store.intents.check_use`, or the attempt has signed something else with this key"""
        with self._guard:
            self._waiting.append(entry)
        with self._commit:
            if not entry.done:  # nobody who was before us took it along
                with self._guard:
                    batch, self._waiting = self._waiting, []
                self._write(batch)
        if entry.error is not None:
            raise entry.error

    def _write(self, batch: list[_Entry]) -> None:
        def work(session: Session) -> None:
            for entry in batch:
                entry.error = None
                try:
                    _record(session, entry)
                except XinyinError as exc:  # refused before anything was written for it
                    entry.error = exc
            crash_point("signer.use-uncommitted")

        try:
            self._db.run(work)
        except Exception as exc:  # noqa: BLE001 - handed to every caller whose row was not committed
            for entry in batch:
                entry.error = exc
        for entry in batch:
            entry.done = True


def _record(session: Session, entry: _Entry) -> None:
    now = _now(entry)
    wanted = {"p_key": entry.key.id, "p_intent": entry.attempt.intent_id, "p_attempt": entry.attempt.number}
    rows = session.connection().execute(_STATE_AND_SIGNED, wanted).all()
    rules.check_attempt(entry.key.purpose, KeyState(rows[0].state) if rows else KeyState.destroyed)
    before = {row.message_digest for row in rows} - {None}
    if entry.digest not in before and len(before) >= rules.MESSAGES_PER_ATTEMPT[entry.key.purpose]:
        raise UseRefused(
            "The key was not used: this attempt has already had other content signed with it. Start the request again with the "
            "same idempotency key.",
            "未使用密钥：本次尝试已用该密钥签署过其他内容。请用相同的幂等键重新提交请求。",
            why="the attempt has signed something else",
            intent=entry.attempt.intent_id,
            attempt=entry.attempt.number,
        )
    record_use(session, entry.attempt, entry.key.id, entry.digest, now=now)


def _now(entry: _Entry) -> datetime:
    entry.at = utc_now()
    return entry.at


class _CountBook:
    """Counts routine uses; written once a second, and at the end."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._pending: Counter[tuple[str, str]] = Counter()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, generation_id: str, use: str) -> None:
        with self._lock:
            self._pending[generation_id, use] += 1
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._keep_writing, name="key-use-counts", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        with suppress(Exception):
            self.flush()

    def flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, Counter()
        if not pending:
            return
        try:
            self._db.run(_adder(pending))
        except Exception:
            with self._lock:
                self._pending.update(pending)
            raise

    def _keep_writing(self) -> None:
        while not self._stop.wait(_FLUSH_EVERY):
            with suppress(Exception):  # a busy database: the next second tries again
                self.flush()


def _adder(pending: Counter[tuple[str, str]]) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        now = utc_now()
        for (generation_id, use), count in sorted(pending.items()):
            row = session.get(KeyUseCountRow, (generation_id, use), with_for_update=True)
            if row is None:
                session.add(KeyUseCountRow(generation_id=generation_id, use=use, count=count, first_at=now, last_at=now))
            else:
                row.count += count
                row.last_at = now

    return work
