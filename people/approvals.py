"""Approvals by quorum: a step, in words and over a digest; officers who sign that digest; and the one time it is spent.

Whoever wants a step :meth:`ApprovalService.request`\\ s it. Officers approve, each with a key of their own
(:mod:`people.officer_keys`). Whatever carries the step out calls :meth:`ApprovalService.demand` in its own transaction with
what will really happen: the digest is made again from that, every signature is checked again, and the approvers must be active
officers at that very moment. Then the approval is spent, and the evidence stands in the audit log.
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput, Misconfigured, XinyinError
from formats import approvals as wire
from formats.canonical import canonical_digest, canonical_json, rfc3339
from people.approval_models import ApprovalRow, ApprovalSignatureRow, OfficerKeyRow
from people.errors import AlreadyApproved, ApprovalClosed, ApprovalForOther, ApprovalShort, NoSuchApproval
from people.models import AccountRow
from people.officer_keys import OfficerKeys, entry_of, is_officer
from people.passkeys import PasskeyService
from people.schemas import Actor
from policies.authorise import Authoriser
from policies.limits import APPROVAL_HOURS, APPROVAL_LONGEST_HOURS, APPROVALS_NEEDED
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

_STATEMENT_LIMIT = 16 * 1024
_WORDS_LIMIT = 4000
_SUBJECT = re.compile(r"[a-z_]{1,32}\Z")
_OPEN_LIMIT = 200


@dataclass(frozen=True)
class Evidence:
    """An approval that was just spent: ``count`` officers signed ``digest``; ``sha256`` is of the evidence's canonical JSON."""

    approval: str
    digest: str
    count: int
    sha256: str
    document: dict[str, Any]


@dataclass(frozen=True)
class Health:
    """One line of ``xinyin doctor``."""

    ok: bool
    message: str
    message_zh: str
    name: str = "officers"


class ApprovalService:
    """Approvals of one region. Answers are plain dictionaries (:meth:`show` gives their shape).

    :param passkeys: None where nobody signs in (the command line of a node without pages); certificates work without
    :param needed: officers who must approve; never fewer than two
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        region: str,
        *,
        passkeys: PasskeyService | None = None,
        needed: int = APPROVALS_NEEDED,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.region = region
        self.passkeys = passkeys
        self.needed = max(wire.LEAST, needed)
        self._now = now
        self.keys = OfficerKeys(self)

    # -- asking ---------------------------------------------------------------------------------------------------------

    def request(
        self,
        actor: Actor,
        *,
        action: str,
        subject: Mapping[str, str],
        statement: Mapping[str, Any],
        words_zh: str,
        words_en: str,
        hours: int = APPROVAL_HOURS,
    ) -> dict[str, Any]:
        """Ask officers to approve one step; the same step, asked again while the first is open, is the first.

        :param action: the rule's action, for example ``key.activate``
        :param subject: the objects, by name: ``{"role": "role_…", "key": "key_…"}``
        :param statement: exactly what will happen, plain JSON; the step itself must be able to say the same again
        :param words_zh, words_en: the same in words, made by our own code and never taken from a caller: officers read these
        :raises NotAllowed: only officers and the local operator ask
        :raises BadInput: an empty sentence, or a statement that is too long or no plain JSON
        """
        rule = self.authoriser.require(actor, "approval.request", {"region": self.region}).rule
        _check_step(subject, statement, words_en, words_zh)
        if not 1 <= hours <= APPROVAL_LONGEST_HOURS:
            raise BadInput(
                f"An approval is good for 1 to {APPROVAL_LONGEST_HOURS} hours.",
                f"批准有效期须为 1 至 {APPROVAL_LONGEST_HOURS} 小时。",
            )

        def ask(session: Session) -> str:
            return self._same(session, action, subject, statement) or self.insert(
                session, actor.id, action, subject, statement, {"en": words_en, "zh": words_zh}, hours, rule
            )

        return self.show(actor, self.db.run(ask))

    def insert(
        self,
        session: Session,
        by: str,
        action: str,
        subject: Mapping[str, str],
        statement: Mapping[str, Any],
        words: Mapping[str, str],
        hours: int,
        rule: str | None,
    ) -> str:
        """A new request in the caller's transaction; its identifier. For rooms that have authorised it themselves."""
        now = self._now().replace(microsecond=0)
        document = wire.statement_of(
            approval=new_id("approval"),
            region=self.region,
            action=action,
            subject=subject,
            statement=statement,
            words=words,
            requested_by=by,
            requested_at=now,
            expires_at=now + timedelta(hours=hours),
            needed=self.needed,
        )
        row = ApprovalRow(
            id=document["id"],
            region=self.region,
            action=action,
            document=canonical_json(document),
            digest=wire.digest_of(document).hex(),
            words_en=words["en"],
            words_zh=words["zh"],
            needed=self.needed,
            status="open",
            requested_by=by,
            requested_at=now,
            expires_at=now + timedelta(hours=hours),
        )
        session.add(row)
        session.flush()
        data = {"action": action, "digest": row.digest, "needed": self.needed, "expires_at": document["expires_at"]}
        self.leaf(session, "approval.requested", by, {"approval": row.id, **subject}, data, rule)
        return row.id

    def _same(self, session: Session, action: str, subject: Mapping[str, str], statement: Mapping[str, Any]) -> str | None:
        """An open request for the very same step."""
        wanted = canonical_digest([dict(subject), dict(statement)])
        rows = session.scalars(
            self._rows()
            .where(ApprovalRow.action == action, ApprovalRow.status == "open", ApprovalRow.expires_at > self._now())
            .order_by(ApprovalRow.id.desc())
            .limit(_OPEN_LIMIT)
        )
        for row in rows:
            said = _document(row)
            if canonical_digest([said["subject"], said["statement"]]) == wanted:
                return row.id
        return None

    # -- looking --------------------------------------------------------------------------------------------------------

    def show(self, actor: Actor, approval_id: str) -> dict[str, Any]:
        """``{"id", "status", "action", "subject", "statement", "document", "digest", "words_en", "words_zh", "needed", "given":
        [{"account", "name", "kind", "key", "at", "counts"}], "requested_by", "requested_by_name", "requested_at", "expires_at",
        "closed_by", "closed_at", "reason", "can": […]}``.

        ``status`` is open, granted (enough have approved), used, refused, withdrawn or expired. ``document`` is what is signed.

        :raises NoSuchApproval: there is none in this region
        """
        self.authoriser.require(actor, "approval.show", {"region": self.region})
        with self.db.read() as session:
            return self._view(session, self._get(session, approval_id), actor)

    def list(
        self, actor: Actor, *, status: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """``(items, next)``, newest first; ``status`` as :meth:`show` gives it."""
        self.authoriser.require(actor, "approval.list", {"region": self.region})
        statement = self._rows().order_by(ApprovalRow.id.desc())
        if status is not None:
            statement = statement.where(ApprovalRow.status == (status if status in _CLOSED else "open"))
        if cursor:
            statement = statement.where(ApprovalRow.id < cursor)
        found: list[dict[str, Any]] = []
        with self.db.read() as session:
            for row in session.scalars(statement.execution_options(yield_per=100)):
                if len(found) > limit:
                    break
                view = self._view(session, row, actor)
                if status is None or view["status"] == status:
                    found.append(view)
        return found[:limit], found[limit - 1]["id"] if len(found) > limit else None

    def document(self, actor: Actor, approval_id: str) -> bytes:
        """The bytes that a certificate signs."""
        self.authoriser.require(actor, "approval.show", {"region": self.region})
        with self.db.read() as session:
            return self._get(session, approval_id).document.encode()

    # -- approving ------------------------------------------------------------------------------------------------------

    def sign_with_certificate(self, actor: Actor, approval_id: str, signature: bytes) -> dict[str, Any]:
        """Approve with a signature over :meth:`document` (detached CMS, or the bare value) by one's own enrolled certificate.

        :raises BadSignature: no enrolled certificate of this officer made it over these bytes
        :raises AlreadyApproved: this officer has
        :raises ApprovalClosed: it is no longer open
        """
        self._may_sign(actor)

        def give(session: Session) -> None:
            row = self._open(session, approval_id)
            now, refusal = self._now(), None
            for key in self.keys.confirmed(session, actor.id, "certificate"):
                try:
                    material = wire.read_signature(key.wire.spki, row.document.encode(), signature)
                except XinyinError as exc:
                    refusal = refusal or exc
                    continue
                self._give(session, row, key.row, now, material)
                return
            raise refusal or _no_key("certificate", "证书")

        self.db.run(give)
        return self.show(actor, approval_id)

    def passkey_options(self, actor: Actor, approval_id: str) -> dict[str, Any]:
        """What the browser needs to ask for an assertion over the digest: PublicKeyCredentialRequestOptions as JSON."""
        self._may_sign(actor)
        with self.db.read() as session:
            row = self._get(session, approval_id)
            known = [
                key.row.credential_id for key in self.keys.confirmed(session, actor.id, "passkey") if key.row.credential_id
            ]
        if not known:
            raise _no_key("passkey", "通行密钥")
        options = self.need_passkeys().options_for_assertion([actor.id], bytes.fromhex(row.digest))
        options["allowCredentials"] = [one for one in options["allowCredentials"] if one["id"] in known]
        return options

    def sign_with_passkey(
        self, actor: Actor, approval_id: str, assertion: str | Mapping[str, Any], *, origin: str
    ) -> dict[str, Any]:
        """Approve with a passkey's assertion whose challenge is the digest (the browser's answer as JSON).

        :param origin: of the page that asked (``https://host:port``)
        :raises PasskeyRefused: not over this digest, without PIN or fingerprint, or by a passkey that was copied or removed
        :raises ApprovalShort: the passkey is not one that this officer approves with
        """
        self._may_sign(actor)
        passkeys = self.need_passkeys()

        def give(session: Session) -> None:
            row = self._open(session, approval_id)
            proved = passkeys.verify_assertion(assertion, bytes.fromhex(row.digest), origin, session=session)
            for key in self.keys.confirmed(session, actor.id, "passkey"):
                if proved.account_id == actor.id and key.row.credential_id == proved.credential_id:
                    material = {
                        "authenticator_data": wire.pack(proved.authenticator_data),
                        "client_data": wire.pack(proved.client_data),
                        "signature": wire.pack(proved.signature),
                    }
                    self._give(session, row, key.row, self._now(), material)
                    return
            raise _no_key("passkey", "通行密钥")

        self.db.run(give)
        return self.show(actor, approval_id)

    def _give(self, session: Session, row: ApprovalRow, key: OfficerKeyRow, now: datetime, material: dict[str, str]) -> None:
        taken = session.scalars(sa.select(ApprovalSignatureRow).where(ApprovalSignatureRow.approval_id == row.id)).all()
        if any(one.account_id == key.account_id or one.spki_sha256 == key.spki_sha256 for one in taken):
            raise AlreadyApproved(
                "You have approved this already; another officer must approve next.",
                "您已批准该事项；请由另一位密钥管理员批准。",
            )
        at = now.replace(microsecond=0)
        entry = {"account": key.account_id, "at": rfc3339(at), **entry_of(key), **material}
        wire.check_entry(entry, wire.key_of(entry), _document(row), at)  # what is stored is what was checked
        session.add(
            ApprovalSignatureRow(
                approval_id=row.id, account_id=key.account_id, key_id=key.id, spki_sha256=key.spki_sha256, at=at, entry=entry
            )
        )
        session.flush()
        data = {"digest": row.digest, "officer_key": key.id, "kind": key.kind, "entry_sha256": canonical_digest(entry)}
        self.leaf(session, "approval.given", key.account_id, {"approval": row.id}, data, "officers-approve")

    # -- closing --------------------------------------------------------------------------------------------------------

    def refuse(self, actor: Actor, approval_id: str, *, reason: str) -> dict[str, Any]:
        """An officer says no: the step needs a new request. :raises BadInput: no reason is given"""
        self.authoriser.require(actor, "approval.refuse", {"region": self.region})
        if not 1 <= len(reason.strip()) <= 1000:
            raise BadInput("Say why, in 1 to 1000 characters.", "请填写理由（1 至 1000 字）。")
        return self._close(actor, approval_id, "refused", "officers-approve", reason.strip())

    def withdraw(self, actor: Actor, approval_id: str) -> dict[str, Any]:
        """Take a request back."""
        rule = self.authoriser.require(actor, "approval.withdraw", {"region": self.region}).rule
        return self._close(actor, approval_id, "withdrawn", rule, None)

    def _close(self, actor: Actor, approval_id: str, status: str, rule: str, reason: str | None) -> dict[str, Any]:
        def close(session: Session) -> None:
            row = self._open(session, approval_id)
            row.status, row.closed_by, row.closed_at, row.reason = status, actor.id, self._now(), reason
            self.leaf(session, f"approval.{status}", actor.id, {"approval": row.id}, {"digest": row.digest}, rule)

        self.db.run(close)
        return self.show(actor, approval_id)

    # -- spending -------------------------------------------------------------------------------------------------------

    def demand(
        self,
        session: Session,
        approval_id: str,
        action: str,
        subject: Mapping[str, str],
        statement: Mapping[str, Any],
        *,
        actor: str,
        also: Mapping[str, str] | None = None,
    ) -> Evidence:
        """Spend an approval in the caller's transaction, for exactly this step; if that fails, it is not spent.

        :param also: further objects for the leaf's subject that were not known when it was asked (a key that is made)
        :raises NoSuchApproval: none of this region
        :raises ApprovalClosed: used before, refused, withdrawn or expired
        :raises ApprovalForOther: something else would happen than what was approved
        :raises ApprovalShort: too few of those who approved are officers now, with keys that still count
        """
        row = self._open(session, approval_id)
        said = _document(row)
        # Made again from what will happen, not read from what was stored: a row that was edited fits no signature.
        document = {**said, "action": action, "subject": dict(subject), "statement": dict(statement), "region": self.region}
        if wire.digest_of(document).hex() != row.digest:
            raise ApprovalForOther(
                "What was approved is not what would happen now; ask for a new approval of this step.",
                "批准的内容与实际将执行的步骤不一致；请就该步骤重新申请批准。",
                approval=row.id,
            )
        entries = self._counting(session, row, lock=True)
        needed = max(self.needed, row.needed, int(document["needed"]))
        if len(entries) < needed:
            raise _short(row.id, len(entries), needed)
        now = self._now()
        evidence = wire.evidence_of(document, entries)
        misfits = wire.check_evidence(evidence, region=self.region, at=now)
        if misfits:
            raise ApprovalForOther(
                f"The approval does not hold: {misfits[0].message} Ask for a new one, and tell the auditor.",
                f"该批准无效：{misfits[0].message_zh}请重新申请批准，并告知审计员。",
                approval=row.id,
            )
        text = canonical_json(evidence)
        row.status, row.closed_by, row.closed_at, row.evidence = "used", actor, now, text
        session.flush()
        self.leaf(session, "approval.used", actor, {"approval": row.id, **subject, **(also or {})}, evidence, "keys-by-quorum")
        return Evidence(row.id, row.digest, len(entries), canonical_digest(evidence), evidence)

    def _counting(self, session: Session, row: ApprovalRow, *, lock: bool = False) -> Sequence[dict[str, Any]]:
        """The entries of those who are officers now and whose keys still count, in the order in which they approved."""
        signatures = session.scalars(
            sa.select(ApprovalSignatureRow)
            .where(ApprovalSignatureRow.approval_id == row.id)
            .order_by(ApprovalSignatureRow.at, ApprovalSignatureRow.account_id)
        ).all()
        found = []
        for one in signatures:
            account = session.get(AccountRow, one.account_id, with_for_update={"read": True} if lock else None)
            key = session.get(OfficerKeyRow, one.key_id, with_for_update={"read": True} if lock else None)
            if account is None or key is None or not is_officer(account, self.region) or not self.keys.counts(session, key):
                continue
            if key.account_id == one.account_id and key.spki_sha256 == one.spki_sha256:
                found.append(one.entry)
        return found

    def health(self) -> Health:
        """For ``xinyin doctor``: a quorum and one more must be able to approve, so that one lost key stops nothing."""
        with self.db.read() as session:
            there = self.keys.officers(session)
        wanted = self.needed + 1
        if there >= wanted:
            return Health(True, f"{there} officers can approve steps on keys.", f"{there} 名密钥管理员可批准密钥操作。")
        lacking = self.authoriser.mode == "production"
        short, short_zh = ("", "") if lacking else (" Outside production that is no hindrance.", "非生产环境下不影响使用。")
        return Health(
            not lacking,
            f"{there} of {wanted} officers can approve steps on keys: they enrol a passkey or a certificate, an administrator "
            f"confirms it (docs/operating-keys.md).{short}",
            f"可批准密钥操作的密钥管理员有 {there} 名，应有 {wanted} 名：请由其登记通行密钥或证书，并由系统管理员确认"
            f"（见 docs/operating-keys.md）。{short_zh}",
        )

    # -- inside ---------------------------------------------------------------------------------------------------------

    def leaf(
        self, session: Session, kind: str, actor: str, subject: Mapping[str, str], data: Mapping[str, Any], rule: str | None
    ) -> None:
        """A leaf in the caller's transaction."""
        self.audit.append(session, kind=kind, actor=actor, subject=subject, data=data, rule=rule)

    def need_passkeys(self) -> PasskeyService:
        """:raises Misconfigured: this service was opened without passkeys"""
        if self.passkeys is None:
            raise Misconfigured("This node takes no passkeys; use a certificate.", "本节点未启用通行密钥；请使用证书。")
        return self.passkeys

    def _may_sign(self, actor: Actor) -> None:
        self.authoriser.require(actor, "approval.sign", {"region": self.region})

    def _rows(self) -> sa.Select[ApprovalRow]:
        return sa.select(ApprovalRow).where(ApprovalRow.region == self.region)

    def _get(self, session: Session, approval_id: str, *, lock: bool = False) -> ApprovalRow:
        row = session.get(ApprovalRow, approval_id, with_for_update=lock or None)
        if row is None or row.region != self.region:
            raise NoSuchApproval(
                f"There is no approval {approval_id[:64]}; `xinyin approval list` shows those that are open.",
                f"没有批准事项 {approval_id[:64]}；可用 `xinyin approval list` 查看待批准的事项。",
            )
        return row

    def _open(self, session: Session, approval_id: str) -> ApprovalRow:
        row = self._get(session, approval_id, lock=True)
        if row.status != "open" or row.expires_at <= self._now():
            status = row.status if row.status != "open" else "expired"
            raise ApprovalClosed(
                f"This approval is {status} and is good for nothing more; ask for a new one.",
                f"该批准事项{_STATUS_ZH[status]}，不能再用；请重新申请批准。",
                approval=row.id,
                status=status,
            )
        return row

    def _view(self, session: Session, row: ApprovalRow, actor: Actor) -> dict[str, Any]:
        said = _document(row)
        counting = {entry["account"] for entry in self._counting(session, row)} if row.status == "open" else None
        given = []
        statement = sa.select(ApprovalSignatureRow, AccountRow.display_name).join(
            AccountRow, AccountRow.id == ApprovalSignatureRow.account_id
        )
        for one, name in session.execute(
            statement.where(ApprovalSignatureRow.approval_id == row.id).order_by(ApprovalSignatureRow.at)
        ):
            counts = counting is None or one.account_id in counting
            given.append(
                {
                    "account": one.account_id,
                    "name": name,
                    "kind": one.entry["kind"],
                    "key": one.key_id,
                    "at": one.at,
                    "counts": counts,
                }
            )
        status = row.status
        if status == "open":
            late, enough = row.expires_at <= self._now(), len(counting or ()) >= row.needed
            status = "expired" if late else "granted" if enough else "open"
        return {
            "id": row.id,
            "status": status,
            "action": row.action,
            "subject": said["subject"],
            "statement": said["statement"],
            "document": said,
            "digest": row.digest,
            "words_en": row.words_en,
            "words_zh": row.words_zh,
            "needed": row.needed,
            "given": given,
            "requested_by": row.requested_by,
            "requested_by_name": self._name(session, row.requested_by),
            "requested_at": row.requested_at,
            "expires_at": row.expires_at,
            "closed_by": row.closed_by,
            "closed_at": row.closed_at,
            "reason": row.reason,
            "can": self._can(actor, status, [one["account"] for one in given]),
        }

    def _name(self, session: Session, account_id: str) -> str:
        row = session.get(AccountRow, account_id)
        return row.display_name if row is not None else account_id

    def _can(self, actor: Actor, status: str, given: Sequence[str]) -> builtins.list[str]:
        """The verbs that this actor may do now."""
        if status not in ("open", "granted"):
            return []
        verbs = ("sign", "refuse", "withdraw")
        allowed = [v for v in verbs if self.authoriser.decide(actor, f"approval.{v}", {"region": self.region}).allowed]
        return [v for v in allowed if v != "sign" or actor.id not in given]


_CLOSED = frozenset({"used", "refused", "withdrawn"})
_STATUS_ZH = {"used": "已使用", "refused": "已被否决", "withdrawn": "已撤回", "expired": "已过期"}


def _document(row: ApprovalRow) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(row.document)
    return said


def _check_step(subject: Mapping[str, str], statement: Mapping[str, Any], words_en: str, words_zh: str) -> None:
    if not subject or not all(_SUBJECT.match(name) and isinstance(value, str) for name, value in subject.items()):
        raise BadInput("Name the objects that the step is about.", "请指明该步骤涉及的对象。")
    if len(canonical_json(dict(statement))) > _STATEMENT_LIMIT:
        raise BadInput("What is to be approved is too long for one step; divide it.", "待批准的内容过长；请拆分为多个步骤。")
    if not (1 <= len(words_en.strip()) <= _WORDS_LIMIT and 1 <= len(words_zh.strip()) <= _WORDS_LIMIT):
        raise BadInput("Say what will happen in both languages.", "请用中英文说明将要执行的操作。")


def _no_key(kind: str, kind_zh: str) -> ApprovalShort:
    return ApprovalShort(
        f"You have no confirmed {kind} for approvals; enrol one and ask an administrator to confirm it.",
        f"您没有已确认的审批用{kind_zh}；请先登记，并由系统管理员确认。",
    )


def _short(approval: str, found: int, needed: int) -> ApprovalShort:
    return ApprovalShort(
        f"{found} of {needed} officers have approved this (only those who are officers now count); ask another officer.",
        f"已有 {found} 名在任密钥管理员批准，须 {needed} 名；请联系其他密钥管理员。",
        approval=approval,
        found=found,
        needed=needed,
    )
