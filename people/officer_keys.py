"""The keys that officers approve with: a passkey or a certificate, enrolled by the officer, confirmed by an administrator.

Two people stand behind each key. The officer proves to hold it by signing who it is for; an administrator (who can be no
officer) confirms that this is the person. Once a quorum of officers has been there, a further key needs the approval of two
officers too: no administrator makes a quorum of his own. How the rules say it: ``policies/rules/keys.cedar``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crypto.errors import Forbidden
from crypto.keys import PublicKey
from formats import approvals as wire
from formats.canonical import rfc3339
from formats.x509 import Certificate
from people.approval_models import OfficerKeyRow
from people.errors import NoSuchOfficerKey, OfficerKeyRefused
from people.models import AccountRow, PasskeyRow
from people.schemas import Actor
from policies.limits import APPROVAL_HOURS
from store.ids import new_id

if TYPE_CHECKING:
    from people.approvals import ApprovalService

CONFIRM = "approval.confirm"


@dataclass(frozen=True)
class Held:
    """An officer's key: its row, and what the arithmetic needs of it."""

    row: OfficerKeyRow
    wire: wire.OfficerKey


class OfficerKeys:
    """Part of :class:`people.approvals.ApprovalService`."""

    def __init__(self, service: ApprovalService) -> None:
        self._service = service

    # -- enrolling ------------------------------------------------------------------------------------------------------

    def challenge(self, actor: Actor, certificate: bytes) -> bytes:
        """What an officer signs with a certificate's key to enrol it."""
        return wire.enrolment_bytes(self._service.region, actor.id, Certificate.parse(certificate).public_key.fingerprint)

    def propose_certificate(self, actor: Actor, certificate: bytes, proof: bytes, name: str = "") -> dict[str, Any]:
        """Enrol a certificate for approvals; an administrator confirms it.

        :param certificate: PEM or DER
        :param proof: signature over :meth:`challenge` (detached CMS or the bare value)
        :raises BadSignature: the proof does not hold
        :raises OfficerKeyRefused: the certificate is for something else, or the key is somebody's already
        """
        self._service.authoriser.require(actor, "approval.enrol", {"region": self._service.region})
        parsed = Certificate.parse(certificate).check()
        spki = parsed.public_key.spki
        if parsed.is_ca or (parsed.key_usage and not parsed.allows("digitalSignature")):
            raise OfficerKeyRefused(
                "This certificate is not for signing; choose one with the key usage digitalSignature.",
                "该证书不能用于签名；请选用密钥用法含“数字签名”的证书。",
            )
        if not parsed.valid_at(self._service._now()):
            raise OfficerKeyRefused(
                "This certificate is not valid now; choose another.", "该证书不在有效期内；请选用其他证书。"
            )
        wire.read_signature(spki, self.challenge(actor, parsed.der), proof)
        return self._propose(actor, wire.OfficerKey("certificate", spki), name or parsed.common_name, certificate=parsed.der)

    def propose_passkey(self, actor: Actor, credential_id: str) -> dict[str, Any]:
        """Put one of the own passkeys forward for approvals; an administrator confirms it."""
        self._service.authoriser.require(actor, "approval.enrol", {"region": self._service.region})
        passkeys = self._service.need_passkeys()
        for one in passkeys.owned(actor.id):
            if one.credential_id == credential_id:
                key = wire.OfficerKey("passkey", _spki_of_cose(one.public_key), passkeys.rp_id)
                return self._propose(actor, key, one.name, credential_id=credential_id)
        raise OfficerKeyRefused(
            "This is no passkey of yours; look at the list on your account's page.",
            "这不是您的通行密钥；请在账户页面查看列表。",
        )

    def _propose(
        self,
        actor: Actor,
        key: wire.OfficerKey,
        name: str,
        *,
        credential_id: str | None = None,
        certificate: bytes | None = None,
    ) -> dict[str, Any]:
        service = self._service

        def propose(session: Session) -> str:
            account = session.get(AccountRow, actor.id)
            if account is None or not is_officer(account, service.region):
                raise Forbidden("Only officers approve steps on keys.", "仅密钥管理员可以批准密钥操作。")
            row = OfficerKeyRow(
                id=new_id("okey"),
                region=service.region,
                account_id=actor.id,
                kind=key.kind,
                name=name.strip()[:200] or key.kind,
                spki=key.spki,
                spki_sha256=key.fingerprint,
                credential_id=credential_id,
                rp_id=key.rp_id,
                certificate=certificate,
                status="proposed",
                proposed_at=service._now(),
            )
            session.add(row)
            session.flush()
            subject = {"account": actor.id, "officer_key": row.id}
            data = {"kind": key.kind, "spki_sha256": key.fingerprint}
            service.leaf(session, "people.officer-key-proposed", actor.id, subject, data, "officers-approve")
            if service.authoriser.mode == "production" and self.had_quorum(session):
                statement, words = _confirmation(row, account.display_name)
                service.insert(session, actor.id, CONFIRM, subject, statement, words, APPROVAL_HOURS, "officers-approve")
            return row.id

        try:
            return self.show(actor, service.db.run(propose))
        except IntegrityError as exc:
            raise OfficerKeyRefused(
                "This key is enrolled already; one key stands for one officer.",
                "该密钥已登记；一把密钥只能代表一名密钥管理员。",
            ) from exc

    def confirm(self, actor: Actor, key_id: str, *, approval: str | None = None) -> dict[str, Any]:
        """Confirm that a proposed key is the officer's: from now on it approves.

        :param approval: of two officers, once there has been a quorum
        :raises NotAllowed: the rules want an administrator, or that approval
        """
        service = self._service

        def confirm(session: Session) -> None:
            row = self._row(session, key_id, lock=True)
            account = session.get_one(AccountRow, row.account_id)
            if row.status != "proposed" or not is_officer(account, service.region):
                raise OfficerKeyRefused(
                    "This key does not wait to be confirmed, or its holder is no officer now.",
                    "该密钥不在待确认状态，或其持有人已不是密钥管理员。",
                )
            statement, _ = _confirmation(row, account.display_name)
            subject = {"account": row.account_id, "officer_key": row.id}
            spent = approval and service.demand(session, approval, CONFIRM, subject, statement, actor=actor.id)
            context = {
                "approvals": spent.count if spent else 0,
                "first": not self.had_quorum(session),
                "own": actor.id == row.account_id,
            }
            rule = service.authoriser.require(actor, CONFIRM, {"id": row.id, "region": service.region}, context).rule
            row.status, row.confirmed_at, row.confirmed_by = "confirmed", service._now(), actor.id
            data = {**entry_of(row), **({"approval": spent.approval, "evidence_sha256": spent.sha256} if spent else {})}
            service.leaf(session, "people.officer-key-confirmed", actor.id, subject, data, rule)

        service.db.run(confirm)
        return self.show(actor, key_id)

    def remove(self, actor: Actor, key_id: str) -> dict[str, Any]:
        """The key approves nothing more, open approvals included: lost, replaced, or its holder leaves."""
        service = self._service

        def remove(session: Session) -> None:
            row = self._row(session, key_id, lock=True)
            facts, context = {"id": row.id, "region": service.region}, {"own": actor.id == row.account_id}
            rule = service.authoriser.require(actor, "approval.remove", facts, context).rule
            if row.status == "removed":
                return
            row.status, row.removed_at, row.removed_by = "removed", service._now(), actor.id
            subject = {"account": row.account_id, "officer_key": row.id}
            service.leaf(session, "people.officer-key-removed", actor.id, subject, {"spki_sha256": row.spki_sha256}, rule)

        service.db.run(remove)
        return self.show(actor, key_id)

    # -- looking --------------------------------------------------------------------------------------------------------

    def show(self, actor: Actor, key_id: str) -> dict[str, Any]:
        """``{"id", "status", "account", "name", "kind", "label", "sha256", "credential", "proposed_at", "confirmed_at",
        "approval"}``; ``approval`` is the open request for two officers' approval of it, where the rules want one."""
        self._may_look(actor)
        with self._service.db.read() as session:
            return self._view(session, self._row(session, key_id))

    def list(self, actor: Actor, *, account: str | None = None, status: str | None = None) -> list[dict[str, Any]]:
        """Keys of officers, oldest first."""
        if account != actor.id:
            self._may_look(actor)
        statement = sa.select(OfficerKeyRow).where(OfficerKeyRow.region == self._service.region).order_by(OfficerKeyRow.id)
        if account:
            statement = statement.where(OfficerKeyRow.account_id == account)
        if status:
            statement = statement.where(OfficerKeyRow.status == status)
        with self._service.db.read() as session:
            return [self._view(session, row) for row in session.scalars(statement)]

    def officers(self, session: Session) -> int:
        """How many officers can approve now."""
        rows = session.execute(
            sa.select(OfficerKeyRow, AccountRow)
            .join(AccountRow, AccountRow.id == OfficerKeyRow.account_id)
            .where(OfficerKeyRow.region == self._service.region, OfficerKeyRow.status == "confirmed")
        ).all()
        region = self._service.region
        return len({account.id for key, account in rows if is_officer(account, region) and self.counts(session, key)})

    def had_quorum(self, session: Session) -> bool:
        """Whether enough officers ever had confirmed keys (rows stay when keys are removed)."""
        ever = session.scalar(
            sa.select(sa.func.count(sa.distinct(OfficerKeyRow.account_id))).where(
                OfficerKeyRow.region == self._service.region, OfficerKeyRow.confirmed_at.is_not(None)
            )
        )
        return (ever or 0) >= self._service.needed

    def confirmed(self, session: Session, account_id: str, kind: str) -> Sequence[Held]:
        """The keys of this kind that this officer may approve with now."""
        account = session.get(AccountRow, account_id)
        if account is None or not is_officer(account, self._service.region):
            return []
        rows = session.scalars(
            sa.select(OfficerKeyRow).where(
                OfficerKeyRow.account_id == account_id, OfficerKeyRow.kind == kind, OfficerKeyRow.status == "confirmed"
            )
        )
        return [Held(row, wire.key_of(entry_of(row))) for row in rows if self.counts(session, row)]

    def counts(self, session: Session, row: OfficerKeyRow) -> bool:
        """Whether a key is confirmed, and its certificate valid now or its passkey still its holder's."""
        now = self._service._now()
        if row.status != "confirmed" or row.region != self._service.region:
            return False
        if row.certificate is not None:
            return Certificate.parse(row.certificate).valid_at(now)
        kept = sa.select(PasskeyRow.id).where(
            PasskeyRow.credential_id == row.credential_id,
            PasskeyRow.account_id == row.account_id,
            PasskeyRow.removed_at.is_(None),
        )
        return session.scalar(kept) is not None

    def _row(self, session: Session, key_id: str, *, lock: bool = False) -> OfficerKeyRow:
        row = session.get(OfficerKeyRow, key_id, with_for_update=lock or None)
        if row is None or row.region != self._service.region:
            raise NoSuchOfficerKey("There is no such key of an officer; list them.", "没有该审批密钥；请查看列表。")
        return row

    def _may_look(self, actor: Actor) -> None:
        self._service.authoriser.require(actor, "approval.show", {"region": self._service.region})

    def _view(self, session: Session, row: OfficerKeyRow) -> dict[str, Any]:
        from people.approval_models import ApprovalRow

        account = session.get_one(AccountRow, row.account_id)
        waiting = None
        if row.status == "proposed":
            open_ones = session.scalars(
                sa.select(ApprovalRow).where(
                    ApprovalRow.region == row.region, ApprovalRow.action == CONFIRM, ApprovalRow.status == "open"
                )
            )
            waiting = next((one.id for one in open_ones if row.id in one.document), None)
        return {
            "id": row.id,
            "status": row.status,
            "account": row.account_id,
            "name": account.display_name,
            "kind": row.kind,
            "label": row.name,
            "sha256": row.spki_sha256,
            "credential": row.credential_id,
            "proposed_at": row.proposed_at,
            "confirmed_at": row.confirmed_at,
            "approval": waiting,
        }


def is_officer(account: AccountRow, region: str) -> bool:
    """An active person of this region with the role itself: a deputy's borrowed role does not count here."""
    return account.status == "active" and account.kind == "staff" and account.region == region and "officer" in account.roles


def entry_of(key: OfficerKeyRow) -> dict[str, str]:
    """What leaves and evidence say of an officer's key: all that is needed to check with it."""
    entry = {"key": key.id, "kind": key.kind, "spki": wire.pack(key.spki)}
    if key.kind == "passkey":
        return {**entry, "rp_id": key.rp_id or "", "credential": key.credential_id or ""}
    certificate = Certificate.parse(key.certificate or b"")
    since, until = rfc3339(certificate.not_before), rfc3339(certificate.not_after)
    return {**entry, "certificate_sha256": certificate.sha256, "not_before": since, "not_after": until}


def _confirmation(row: OfficerKeyRow, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """What is approved when a further key is confirmed, and in words."""
    statement = {"account": row.account_id, "officer_key": row.id, "kind": row.kind, "spki_sha256": row.spki_sha256}
    words = {
        "zh": f"确认 {name} 今后可用{'通行密钥' if row.kind == 'passkey' else '证书'}“{row.name}”批准密钥操作。",
        "en": f"From now on {name} approves steps on keys with the {row.kind} “{row.name}”.",
    }
    return statement, words


def _spki_of_cose(cose: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a passkey's COSE_Key (RFC 9052 §7).

    :raises OfficerKeyRefused: neither ES256 nor RS256
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography

    try:
        public = decoded_public_key_to_cryptography(decode_credential_public_key(cose))
        return PublicKey.from_spki(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).spki
    except Exception as exc:
        raise OfficerKeyRefused(
            "This passkey's kind of key cannot be checked again from the log; use one with ES256 or RS256.",
            "该通行密钥的算法无法由日志复核；请使用 ES256 或 RS256 的通行密钥。",
        ) from exc
