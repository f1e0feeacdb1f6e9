"""Key roles and their generations: make, activate, retire, destroy, and sign with them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput, Misconfigured
from crypto.keys import PublicKey
from crypto.suites import Scheme, Suite, default_scheme
from hsm import rules, steps
from hsm.config import MAIN, ROOT, load_config
from hsm.errors import KeyMissing, KeyStateForbids, NoSuchGeneration, NoSuchRole, RoleExists, StandInRefused
from hsm.gate import Gate, Step
from hsm.models import KeyGenerationRow, KeyRoleRow, KeyUseCountRow
from hsm.schemas import TRANSITIONS, Custodian, Generation, KeyPurpose, KeyRole, KeyState, Use
from hsm.signer import open_custodian
from policies.authorise import Principal
from store.db import Database, utc_now
from store.ids import new_id
from store.intents import Attempt

_GENERATIONS = KeyGenerationRow.__table__.c
# Asked for every sealed document: made once, and on the table, which costs half of what the ORM does.
_ACTIVE = sa.select(_GENERATIONS.id).where(
    _GENERATIONS.role_id == sa.bindparam("p_role"), _GENERATIONS.state == str(KeyState.active)
)


class Audit(Protocol):
    """The part of ``store.audit.AuditLog`` that keys need."""

    def append(
        self, session: Session, *, kind: str, actor: str, subject: dict[str, Any], data: dict[str, Any], rule: str | None = None
    ) -> str: ...


class TokenSigner:
    """Fills :class:`crypto.keys.Signer` for one generation and one use; every signature was verified before it comes back."""

    def __init__(self, custodian: Callable[[], Custodian], generation_id: str, public_key: PublicKey, use: Use) -> None:
        self._custodian = custodian
        self.generation_id = generation_id
        self._public_key = public_key
        self._use = use

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes, scheme: Scheme | None = None) -> bytes:
        """See :meth:`hsm.schemas.Custodian.sign`; one message an attempt for keys that seal."""
        chosen = scheme or default_scheme(self._public_key.suite)
        return self._custodian().sign(self.generation_id, message, chosen.name, self._use)


class KeyService:
    """Roles and generations in the database, keys behind a custodian.

    :param custodian: opened when first needed: listing keys opens no token
    :param tokens: labels of the token for most keys and of the root CA's
    :param audit: where key events are written, in their own transactions; None leaves that to the caller
    :param gate: decides on every step that makes, activates, retires or destroys a key, and spends the officers' approval of
        it; None, outside production only, leaves deciding to the caller

    Steps take the ``actor`` that the rules judge (``system`` is the node itself, in the course of something else that was
    authorised) and the ``approval`` of officers where the rules want one; :meth:`foresee` tells what to ask them.
    """

    def __init__(
        self,
        db: Database,
        custodian: Custodian | Callable[[], Custodian],
        region: str = "000000",
        *,
        mode: str = "development",
        tokens: tuple[str, str] = (MAIN, ROOT),
        audit: Audit | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.db = db
        self.region = region
        self.mode = mode
        self.audit = audit
        self.gate = gate
        self._tokens = tokens
        self._open: Callable[[], Custodian] | None = custodian if callable(custodian) else None
        self._custodian: Custodian | None = None if callable(custodian) else custodian
        self._actives: dict[str, Generation] = {}
        """As read while they were active; whether they still are is asked each time, all else holds for good."""

    @classmethod
    def open(
        cls,
        home: Path,
        db: Database,
        region: str,
        *,
        host: bool = True,
        audit: Audit | None = None,
        gate: Gate | None = None,
    ) -> KeyService:
        """The keys of a home. ``host=False`` where this process must hold no secrets (see
        :func:`hsm.signer.open_custodian`)."""
        config = load_config(home)
        tokens = (config.main_token, config.root_token)
        custodian = lambda: open_custodian(home, host=host)  # noqa: E731 - a sentence, not a function of its own
        return cls(db, custodian, region, mode=config.mode, tokens=tokens, audit=audit, gate=gate)

    def close(self) -> None:
        if self._custodian is not None:
            self._custodian.close()

    @property
    def custodian(self) -> Custodian:
        if self._custodian is None:
            assert self._open is not None
            self._custodian = self._open()
        return self._custodian

    # -- roles ------------------------------------------------------------------------------------------------------------

    def create_role(
        self,
        purpose: KeyPurpose | str,
        suite: Suite | str,
        name: str,
        *,
        custody: str = "token",
        bits: int | None = None,
        actor: Principal | str = "system",
        approval: str | None = None,
    ) -> KeyRole:
        """A role, or the one that is there with the same purpose, suite and name.

        :param bits: RSA modulus length: 2048 (default), 3072 or 4096
        :raises StandInRefused: custody ``software`` in production
        :raises RoleExists: one is there with another custody or length
        """
        purpose, suite = KeyPurpose(purpose), Suite(suite)
        length = _bits(suite, bits)
        if custody not in ("token", "software") or not 0 < len(name) <= 255:
            raise BadInput(
                "Custody is token or software, the name 1 to 255 characters.",
                "custody 为 token 或 software；名称 1 至 255 字。",
            )
        if custody == "software" and self.mode == "production":
            raise StandInRefused(
                "Production does not use software keys; make the role with custody token.",
                "生产模式不使用软件密钥；请使用 custody token。",
            )

        def work(session: Session) -> KeyRole:
            statement = sa.select(KeyRoleRow).where(
                KeyRoleRow.purpose == str(purpose), KeyRoleRow.suite == str(suite), KeyRoleRow.name == name
            )
            row = session.scalars(statement).one_or_none()
            if row is None:
                under = self._allow(session, steps.create(purpose, suite, name, custody, length), actor, approval)
                row = KeyRoleRow(
                    id=new_id("role"), region=self.region, purpose=str(purpose), suite=str(suite), bits=length, name=name,
                    custody=custody, created_at=utc_now(),
                )  # fmt: skip
                session.add(row)
                session.flush()
                data = {"purpose": str(purpose), "suite": str(suite), "custody": custody}
                self._note(session, "key.role-created", actor, row.id, data, under)
            elif row.custody != custody or (bits is not None and row.bits != length):
                raise RoleExists(
                    f"There is a {purpose} role {name!r} with another custody or key length; choose another name.",
                    f"已有同名的 {purpose} 密钥用途 {name!r}，但其保管方式或长度不同；请另取名称。",
                    role=row.id,
                )
            return _role(session, row)

        return self.db.run(work)

    def role(self, role_id: str) -> KeyRole:
        """:raises NoSuchRole: there is none"""
        with self.db.read() as session:
            return _role(session, _role_row(session, role_id))

    def roles(self, purpose: KeyPurpose | str | None = None, suite: Suite | str | None = None) -> list[KeyRole]:
        """All roles (of a purpose, of a suite), oldest first."""
        statement = sa.select(KeyRoleRow).order_by(KeyRoleRow.created_at, KeyRoleRow.id)
        if purpose is not None:
            statement = statement.where(KeyRoleRow.purpose == str(KeyPurpose(purpose)))
        if suite is not None:
            statement = statement.where(KeyRoleRow.suite == str(Suite(suite)))
        with self.db.read() as session:
            rows = session.scalars(statement).all()
            states: dict[str, set[str]] = {}
            pairs = sa.select(KeyGenerationRow.role_id, KeyGenerationRow.state).distinct()
            if len(rows) < 200:
                pairs = pairs.where(KeyGenerationRow.role_id.in_([row.id for row in rows]))
            for role_id, state in session.execute(pairs):
                states.setdefault(role_id, set()).add(state)
            return [_role_of(row, states.get(row.id, set())) for row in rows]

    # -- generations ------------------------------------------------------------------------------------------------------

    def generation(self, generation_id: str) -> Generation:
        """:raises NoSuchGeneration: there is none"""
        with self.db.read() as session:
            return _generation(*_generation_rows(session, generation_id))

    def generations(self, role_id: str) -> list[Generation]:
        """The role's generations whose key was made, oldest first."""
        with self.db.read() as session:
            role = _role_row(session, role_id)
            statement = sa.select(KeyGenerationRow).where(
                KeyGenerationRow.role_id == role_id, KeyGenerationRow.public_key.is_not(None)
            )
            return [_generation(row, role) for row in session.scalars(statement.order_by(KeyGenerationRow.number))]

    def active(self, role_id: str) -> Generation:
        """The generation that takes new intents.

        :raises NoSuchGeneration: the role has none
        """
        with self.db.read() as session:
            generation_id = session.connection().scalar(_ACTIVE, {"p_role": role_id})
            if generation_id is None:
                raise _none_active(f"the key role {_role_row(session, role_id).name}")
            found = self._actives.get(generation_id)
            if found is None:
                found = self._actives[generation_id] = _generation(*_generation_rows(session, generation_id))
                if len(self._actives) > 10_000:
                    self._actives.clear()
            return found

    def active_for(self, purpose: KeyPurpose | str, suite: Suite | str | None = None) -> Generation:
        """The active generation of the newest role of this purpose (and suite): for purposes of which a node has one role.

        :raises NoSuchGeneration: no such role has one
        """
        for role in reversed(self.roles(purpose, suite)):
            if role.status == "active":
                return self.active(role.id)
        raise _none_active(f"the purpose {purpose}")

    def foresee(self, action: str, target: str) -> Step:
        """What a step would do now: to ask officers for their approval of it.

        :param action: ``key.stage`` (``target`` is a role), ``key.activate``, ``key.retire`` or ``key.destroy`` (a generation)
        :raises BadInput: another action
        :raises KeyStateForbids: the key's state does not allow it
        """
        with self.db.read() as session:
            if action == "key.stage":
                role = _role_row(session, target)
                return steps.stage(role, self._next_number(session, role.id), self._token_of(role))
            row, role = _generation_rows(session, target)
            if action == "key.activate":
                _demand(row, KeyState.active)
                return steps.activate(row, role, session.scalars(_in_state(role.id, KeyState.active)).one_or_none())
            if action == "key.retire":
                _demand(row, KeyState.retired)
                return steps.retire(row, role)
            if action == "key.destroy":
                _demand(row, KeyState.destroyed)
                return steps.destroy(row, role)
        raise BadInput(
            "The steps on a key are key.stage, key.activate, key.retire and key.destroy.",
            "密钥操作步骤为 key.stage、key.activate、key.retire、key.destroy。",
        )

    def stage(self, role_id: str, *, actor: Principal | str = "system", approval: str | None = None) -> Generation:
        """Make the role's next key in its token, or finish and return the one that is staged already.

        The row is committed before the key is made, and names it: a crash between the two leaves no key that nothing names.
        """
        generation_id = self.db.run(lambda session: self._stage_row(session, role_id, actor, approval))
        made = self.custodian.generate(generation_id)

        def work(session: Session) -> Generation:
            row, role = _generation_rows(session, generation_id, lock=True)
            if row.public_key is None:
                row.public_key, row.token_model = made["spki"], str(made["model"])[:64]
                data = {"role": role_id, "number": row.number, "fingerprint": PublicKey.from_spki(made["spki"]).fingerprint}
                self._note(session, "key.staged", actor, generation_id, data, row.made_under)
            return _generation(row, role)

        staged = self.db.run(work)
        self.custodian.refresh(generation_id)
        return staged

    def _next_number(self, session: Session, role_id: str) -> int:
        last = session.scalar(sa.select(sa.func.max(KeyGenerationRow.number)).where(KeyGenerationRow.role_id == role_id))
        return (last or 0) + 1

    def _token_of(self, role: KeyRoleRow) -> str:
        return self._tokens[1] if role.purpose == str(KeyPurpose.root_ca) else self._tokens[0]

    def _stage_row(self, session: Session, role_id: str, actor: Principal | str, approval: str | None) -> str:
        role = session.scalars(sa.select(KeyRoleRow).where(KeyRoleRow.id == role_id).with_for_update()).one_or_none()
        if role is None:
            raise _no_such_role(role_id)
        waiting = session.scalars(_in_state(role_id, KeyState.staged)).first()
        if waiting is not None:
            return waiting.id
        generation_id, number, token = new_id("key"), self._next_number(session, role_id), self._token_of(role)
        under = self._allow(session, steps.stage(role, number, token), actor, approval, also={"key": generation_id})
        row = KeyGenerationRow(
            id=generation_id,
            region=self.region,
            role_id=role_id,
            number=number,
            state=str(KeyState.staged),
            custody=role.custody,
            token_label=token,
            key_id=secrets.token_hex(16),
            created_at=utc_now(),
            made_under=under,
        )
        session.add(row)
        session.flush()
        return row.id

    def activate(self, generation_id: str, *, actor: Principal | str = "system", approval: str | None = None) -> Generation:
        """Make a staged generation the role's active one; the one before it drains.

        :raises KeyStateForbids: it is not staged
        """

        def work(session: Session) -> tuple[Generation, str | None]:
            row, role = _generation_rows(session, generation_id, lock=True)
            if row.public_key is None:
                raise _never_made(generation_id)
            _demand(row, KeyState.active)
            before = session.scalars(_in_state(role.id, KeyState.active).with_for_update()).one_or_none()
            under = self._allow(session, steps.activate(row, role, before), actor, approval)
            if before is not None:
                _move(before, KeyState.draining)
                session.flush()  # before the other becomes active: the database allows one
                self._note(session, "key.draining", actor, before.id, {"role": role.id, "successor": row.id})
            _move(row, KeyState.active)
            self._note(session, "key.activated", actor, row.id, {"role": role.id, "number": row.number}, under)
            return _generation(row, role), before.id if before is not None else None

        generation, before = self.db.run(work)
        for changed in filter(None, (generation_id, before)):
            self._forget(changed)
        return generation

    def retire(
        self,
        generation_id: str,
        *,
        actor: Principal | str = "system",
        approval: str | None = None,
        compromised: bool = False,
    ) -> Generation:
        """It signs no more (a CA's goes on signing CRLs and OCSP answers).

        :param compromised: stop it at once under the rule for that, which waits for no quorum
        :raises KeyStateForbids: it is neither active nor draining
        """

        def work(session: Session) -> Generation:
            row, role = _generation_rows(session, generation_id, lock=True)
            _demand(row, KeyState.retired)
            step = steps.stop(row, role) if compromised else steps.retire(row, role)
            under = self._allow(session, step, actor, approval)
            _move(row, KeyState.retired)
            data = {"role": role.id, "number": row.number, "compromised": compromised}
            self._note(session, "key.retired", actor, row.id, data, under)
            return _generation(row, role)

        changed = self.db.run(work)
        self._forget(generation_id)
        return changed

    def destroy(self, generation_id: str, *, actor: Principal | str = "system", approval: str | None = None) -> Generation:
        """Destroy the key in its token. What it signed can still be verified; nothing more can be signed, CRLs included.

        The approval is spent before the token acts, and the row remembers it: a retry after a crash needs no other.

        :raises KeyStateForbids: it is neither staged nor retired
        """

        def allow(session: Session) -> None:
            row, role = _generation_rows(session, generation_id, lock=True)
            _demand(row, KeyState.destroyed)
            if row.destroyed_under is None:
                row.destroyed_under = self._allow(session, steps.destroy(row, role), actor, approval)

        self.db.run(allow)
        self.custodian.destroy(generation_id)

        def work(session: Session) -> Generation:
            row, role = _generation_rows(session, generation_id, lock=True)
            _demand(row, KeyState.destroyed)
            _move(row, KeyState.destroyed)
            data = {"role": role.id, "number": row.number}
            self._note(session, "key.destroyed", actor, row.id, data, row.destroyed_under)
            return _generation(row, role)

        changed = self.db.run(work)
        self._forget(generation_id)
        return changed

    def _forget(self, generation_id: str) -> None:
        self._actives.pop(generation_id, None)
        self.custodian.refresh(generation_id)

    # -- signing ----------------------------------------------------------------------------------------------------------

    def signer(self, generation_id: str, use: Use) -> TokenSigner:
        """A signer for this key and this use; the custodian checks both again at every signature.

        :param use: the attempt for keys that seal or issue, else a word: certificate, crl, ocsp, tsa, seal-maker, status-list,
            trust-list, checkpoint, receipt, csr, probe
        :raises PurposeForbids: the key's purpose does not cover the use
        """
        known = self._actives.get(generation_id) if isinstance(use, Attempt) else None
        generation = known or self.generation(generation_id)
        if isinstance(use, Attempt):
            rules.check_attempt(generation.purpose, generation.state)
        elif use not in rules.ROUTINE[generation.purpose]:
            rules.check_routine(generation.purpose, generation.state, use, b"", b"")
        return TokenSigner(lambda: self.custodian, generation_id, generation.public_key, use)

    def probe(self, generation_id: str) -> None:
        """Sign something meaningless and verify it.

        :raises XinyinError: whatever stands in the way
        """
        self.signer(generation_id, "probe").sign(rules.PROBE_PREFIX + secrets.token_bytes(16))

    def login_root(self, pin: str, *, seconds: float) -> None:
        """Log the root CA's token in with a PIN that somebody typed, for ``seconds`` (an hour at most); 0 logs it out.

        The signer keeps the PIN in memory and tries it at once. Where no signer runs it ends with this process.

        :raises PinRefused: the token does not take it
        """
        self.custodian.lend_pin(self._tokens[1], pin, seconds)

    def use_counts(self, generation_id: str) -> dict[str, int]:
        """How often the key was used for what needs no intent, by word (about a second behind)."""
        with self.db.read() as session:
            rows = session.scalars(sa.select(KeyUseCountRow).where(KeyUseCountRow.generation_id == generation_id))
            return {row.use: row.count for row in rows}

    def _allow(
        self,
        session: Session,
        step: Step,
        actor: Principal | str,
        approval: str | None,
        *,
        also: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask the gate, before anything is changed; what allowed the step."""
        if self.gate is not None:
            return self.gate.check(session, step.action, step.subject, step.statement, approval, actor=actor, also=also)
        if self.mode == "production":
            raise Misconfigured(
                "Keys were opened without the gate that asks the officers; nothing is done to a key in production.",
                "密钥服务未接入多人共管检查；生产模式下不执行任何密钥操作。",
            )
        return {"rule": None, "approval": None}

    def _note(
        self,
        session: Session,
        kind: str,
        actor: Principal | str,
        subject: str,
        data: dict[str, Any],
        under: dict[str, Any] | None = None,
    ) -> None:
        if self.audit is None:
            return
        who, under = actor if isinstance(actor, str) else actor.id, under or {}
        if under.get("approval"):
            data = {**data, "approval": under["approval"], "approval_digest": under["digest"]}
        self.audit.append(session, kind=kind, actor=who, subject={"key": subject}, data=data, rule=under.get("rule"))


def _bits(suite: Suite, bits: int | None) -> int:
    if suite is not Suite.RSA:
        return 256
    if bits not in (None, 2048, 3072, 4096):
        raise BadInput("RSA keys have 2048, 3072 or 4096 bits.", "RSA 密钥长度须为 2048、3072 或 4096 位。")
    return bits or 2048


def _in_state(role_id: str, state: KeyState) -> sa.Select[KeyGenerationRow]:
    return sa.select(KeyGenerationRow).where(KeyGenerationRow.role_id == role_id, KeyGenerationRow.state == str(state))


def _role_row(session: Session, role_id: str) -> KeyRoleRow:
    row = session.get(KeyRoleRow, role_id)
    if row is None:
        raise _no_such_role(role_id)
    return row


def _generation_rows(session: Session, generation_id: str, *, lock: bool = False) -> tuple[KeyGenerationRow, KeyRoleRow]:
    row = session.get(KeyGenerationRow, generation_id, with_for_update=lock or None)
    if row is None:
        raise NoSuchGeneration(
            "There is no key generation with this identifier; look it up with xinyin key list.",
            "没有此编号的密钥代；请用 xinyin key list 查询。",
            generation=generation_id,
        )
    return row, _role_row(session, row.role_id)


def _role(session: Session, row: KeyRoleRow) -> KeyRole:
    return _role_of(row, set(session.scalars(sa.select(KeyGenerationRow.state).where(KeyGenerationRow.role_id == row.id))))


def _role_of(row: KeyRoleRow, states: set[str]) -> KeyRole:
    telling = (KeyState.active, KeyState.draining, KeyState.staged, KeyState.retired)
    status = next((str(state) for state in telling if state in states), "empty")
    return KeyRole(row.id, KeyPurpose(row.purpose), Suite(row.suite), row.name, status, row.custody, row.bits)


def _generation(row: KeyGenerationRow, role: KeyRoleRow) -> Generation:
    if row.public_key is None:
        raise _never_made(row.id)
    return Generation(
        id=row.id,
        role_id=row.role_id,
        number=row.number,
        state=KeyState(row.state),
        public_key=PublicKey.from_spki(row.public_key),
        token_label=row.token_label,
        key_id=row.key_id,
        custody=row.custody,
        purpose=KeyPurpose(role.purpose),
        suite=Suite(role.suite),
        created_at=row.created_at,
        activated_at=row.activated_at,
        retired_at=row.retired_at,
        draining_at=row.draining_at,
        destroyed_at=row.destroyed_at,
    )


def _demand(row: KeyGenerationRow, to: KeyState) -> None:
    if to not in TRANSITIONS[KeyState(row.state)]:
        raise KeyStateForbids(
            f"A key that is {row.state} cannot become {to}; legal steps are staged, active, draining, "
            "retired, destroyed in this order.",
            f"处于 {row.state} 状态的密钥不能变为 {to}；合法顺序为 staged、active、draining、retired、destroyed。",
            state=row.state,
            to=str(to),
        )


def _move(row: KeyGenerationRow, to: KeyState) -> None:
    row.state = str(to)
    now = utc_now()
    if to is KeyState.active:
        row.activated_at = now
    elif to is KeyState.draining:
        row.draining_at = now
    elif to is KeyState.retired:
        row.retired_at = now
    elif to is KeyState.destroyed:
        row.destroyed_at = now


def _no_such_role(role_id: str) -> NoSuchRole:
    return NoSuchRole(
        "There is no key role with this identifier; look it up with xinyin key list.",
        "没有此编号的密钥用途；请用 xinyin key list 查询。",
        role=role_id,
    )


def _none_active(what: str) -> NoSuchGeneration:
    return NoSuchGeneration(
        f"There is no active key for {what}; stage and activate one with xinyin key.",
        "没有启用的密钥；请用 xinyin key stage 与 xinyin key activate 生成并启用。",
    )


def _never_made(generation_id: str) -> KeyMissing:
    return KeyMissing(
        "This generation's key was never made in the token; stage the role again to finish it.",
        "该代密钥尚未在令牌中生成；请重新执行 xinyin key stage 完成。",
        generation=generation_id,
    )
