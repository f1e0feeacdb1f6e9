"""Passkeys (W3C WebAuthn): enrol, name, remove, sign in with one, and let one say yes to something exact.

The browser gives a passkey only to pages of the node's own host (the RP ID, from its address). Every proof must come with user
verification: a fingerprint, a face or a PIN, so that a key left on a desk says nothing. An assertion is made over a challenge;
where the challenge is the digest of what will happen, it is a signature over that (``people.approvals``).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
import webauthn
from sqlalchemy.orm import Session
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from people import pending
from people.errors import BadPasskey, NoSuchPasskey, PasskeyRefused, WrongOrigin
from people.models import AccountRow, PasskeyRow
from people.room import Room
from people.schemas import Account, Asserted, Passkey
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

_TIMEOUT_MS = 300_000
_MOST = 20
"""Passkeys of one account."""
_UNREADABLE = (WebAuthnException, ValueError, KeyError, TypeError, AttributeError)
"""What the library raises for what a browser would not send."""
_ENROL, _SIGN_IN = "passkey-enrol", "passkey-sign-in"


class PasskeyService(Room):
    """Passkeys of the accounts of one node.

    :param base_url: the node's own address; its host is the RP ID
    :param any_port: whether proofs count from any port of that host: development, where a node moves between ports
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        region: str,
        *,
        base_url: str,
        any_port: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(db, audit, region, now=now)
        own = urlsplit(base_url)
        self.rp_id = own.hostname or "localhost"
        self.origin = f"{own.scheme}://{own.netloc}"
        self._any_port = any_port

    # -- enrol ----------------------------------------------------------------------------------------------------------

    def begin_enrolment(self, account: Account) -> tuple[dict[str, Any], str]:
        """``(options for navigator.credentials.create, ticket)``; the ticket ends the enrolment once, within ten minutes.

        :raises BadPasskey: the account has as many as it may have
        """
        there = self.owned(account.id)
        if len(there) >= _MOST:
            raise BadPasskey(
                f"An account has {_MOST} passkeys at most; remove one first.",
                f"每个账户最多 {_MOST} 个通行密钥；请先移除一个。",
            )
        challenge = secrets.token_bytes(32)
        options = webauthn.generate_registration_options(
            rp_id=self.rp_id,
            rp_name=f"信印 {self.region}",
            user_id=account.id.encode(),
            user_name=account.name,
            user_display_name=account.display_name or account.name,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[_descriptor(one.credential_id) for one in there],
        )
        data = {"account": account.id, "challenge": challenge.hex()}
        ticket = self.db.run(lambda session: pending.begin(session, _ENROL, data, self._now()))
        return json.loads(webauthn.options_to_json(options)), ticket

    def finish_enrolment(
        self, account: Account, ticket: str, credential: str | Mapping[str, Any], *, name: str, origin: str
    ) -> Passkey:
        """Add the passkey that the browser made.

        :param credential: what ``navigator.credentials.create`` gave, as JSON
        :param name: what its owner calls it; 1 to 100 characters
        :param origin: of the page that asked (``https://host:port``)
        :raises BadPasskey: name or credential cannot be used, or the passkey is there already
        :raises TicketOver: the enrolment was not begun, took too long, or is over
        :raises WrongOrigin: the page is not this node's
        """
        label = name.strip()
        if not 1 <= len(label) <= 100:
            raise BadPasskey("Give the passkey a name of 1 to 100 characters.", "请为通行密钥命名（1 至 100 个字符）。")
        self.check_origin(origin)

        def insert(session: Session) -> Passkey:
            begun = pending.end(session, _ENROL, ticket, self._now())
            if begun["account"] != account.id:
                raise BadPasskey("This enrolment belongs to another account.", "此登记属于其他账户。")
            row = self._registered(account, credential, bytes.fromhex(begun["challenge"]), label, origin)
            if session.scalars(sa.select(PasskeyRow).where(PasskeyRow.credential_id == row.credential_id)).first():
                raise BadPasskey("This passkey is in use already.", "该通行密钥已登记。")
            session.add(row)
            session.flush()
            data = {
                "credential": row.credential_id,
                "public_key": bytes_to_base64url(row.public_key),
                "rp_id": self.rp_id,
                "aaguid": row.aaguid,
                "backed_up": row.backed_up,
            }
            self._leaf(session, "people.passkey-added", account.id, {"account": account.id, "passkey": row.id}, data)
            return _passkey(row)

        return self.db.run(insert)

    def _registered(
        self, account: Account, credential: str | Mapping[str, Any], challenge: bytes, name: str, origin: str
    ) -> PasskeyRow:
        given = dict(credential) if isinstance(credential, Mapping) else credential
        try:
            made = webauthn.verify_registration_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=origin,
                require_user_verification=True,
            )
        except _UNREADABLE as exc:
            raise BadPasskey(
                f"The passkey cannot be used ({exc}); try again, with fingerprint, face or PIN.",
                "该通行密钥无法使用；请重试，并完成指纹、人脸或 PIN 验证。",
            ) from exc
        return PasskeyRow(
            id=new_id("passkey"),
            region=self.region,
            account_id=account.id,
            credential_id=bytes_to_base64url(made.credential_id),
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
            name=name,
            aaguid=made.aaguid,
            transports=_transports(given),
            backed_up=made.credential_backed_up,
            created_at=self._now(),
        )

    # -- look, name, remove ---------------------------------------------------------------------------------------------

    def owned(self, account_id: str) -> list[Passkey]:
        """An account's passkeys, oldest first, without those removed."""
        return self.of([account_id]).get(account_id, [])

    def of(self, account_ids: Collection[str]) -> dict[str, list[Passkey]]:
        """The passkeys of several accounts, by account; accounts without any are left out."""
        found: dict[str, list[Passkey]] = {}
        with self.db.read() as session:
            rows = session.scalars(
                sa.select(PasskeyRow)
                .where(PasskeyRow.account_id.in_(list(account_ids)), PasskeyRow.removed_at.is_(None))
                .order_by(PasskeyRow.id)
            )
            for row in rows:
                found.setdefault(row.account_id, []).append(_passkey(row))
        return found

    def rename(self, account_id: str, passkey_id: str, name: str) -> Passkey:
        """Give it another name. :raises NoSuchPasskey: the account has no such passkey"""
        label = name.strip()
        if not 1 <= len(label) <= 100:
            raise BadPasskey("Give the passkey a name of 1 to 100 characters.", "请为通行密钥命名（1 至 100 个字符）。")

        def change(session: Session) -> Passkey:
            row = _own(session, account_id, passkey_id)
            row.name = label
            self._leaf(session, "people.passkey-renamed", account_id, {"account": account_id, "passkey": row.id}, {})
            return _passkey(row)

        return self.db.run(change)

    def remove(self, account_id: str, passkey_id: str, *, actor: str) -> None:
        """It proves nothing from now on. :raises NoSuchPasskey: the account has no such passkey"""

        def change(session: Session) -> None:
            row = _own(session, account_id, passkey_id)
            row.removed_at = self._now()
            data = {"credential": row.credential_id}
            self._leaf(session, "people.passkey-removed", actor, {"account": account_id, "passkey": row.id}, data)

        self.db.run(change)

    # -- prove ----------------------------------------------------------------------------------------------------------

    def begin_sign_in(self) -> tuple[dict[str, Any], str]:
        """``(options for navigator.credentials.get, ticket)``: any passkey of this node that the person has."""
        challenge = secrets.token_bytes(32)
        ticket = self.db.run(lambda session: pending.begin(session, _SIGN_IN, {"challenge": challenge.hex()}, self._now()))
        return self.options_for_assertion((), challenge), ticket

    def finish_sign_in(self, ticket: str, assertion: str | Mapping[str, Any], *, origin: str) -> Asserted:
        """Who signed in.

        :raises TicketOver: not begun, too slow, or done already
        :raises PasskeyRefused: the proof does not hold
        """
        begun = self.db.run(lambda session: pending.end(session, _SIGN_IN, ticket, self._now()))
        return self.verify_assertion(assertion, bytes.fromhex(begun["challenge"]), origin)

    def options_for_assertion(self, account_ids: Collection[str], challenge: bytes) -> dict[str, Any]:
        """Options for ``navigator.credentials.get`` as JSON: a proof over ``challenge`` by a passkey of one of the accounts.

        :param account_ids: whose passkeys; empty: whichever passkey of this node the browser knows
        """
        allowed = [one for several in self.of(account_ids).values() for one in several] if account_ids else []
        options = webauthn.generate_authentication_options(
            rp_id=self.rp_id,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            allow_credentials=[_descriptor(one.credential_id) for one in allowed],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        found: dict[str, Any] = json.loads(webauthn.options_to_json(options))
        return found

    def verify_assertion(
        self, assertion: str | Mapping[str, Any], challenge: bytes, origin: str, *, session: Session | None = None
    ) -> Asserted:
        """Check a proof over exactly ``challenge``; whose it is.

        :param assertion: what ``navigator.credentials.get`` gave, as JSON
        :param origin: of the page that asked (``https://host:port``)
        :param session: the transaction that the proof is used in; one of its own otherwise
        :raises PasskeyRefused: unknown or removed passkey, disabled account, another challenge, a bad signature, no user
            verification, or a counter that went back (a copied key)
        :raises WrongOrigin: the page is not this node's
        """
        self.check_origin(origin)
        try:
            given = parse_authentication_credential_json(dict(assertion) if isinstance(assertion, Mapping) else assertion)
        except _UNREADABLE as exc:
            raise _refused("it cannot be read", "无法读取") from exc
        if session is not None:
            return self._verified(session, given, challenge, origin)
        return self.db.run(lambda own: self._verified(own, given, challenge, origin))

    def _verified(self, session: Session, given: AuthenticationCredential, challenge: bytes, origin: str) -> Asserted:
        row = session.scalars(
            sa.select(PasskeyRow).where(PasskeyRow.credential_id == bytes_to_base64url(given.raw_id)).with_for_update()
        ).one_or_none()
        owner = session.get(AccountRow, row.account_id) if row is not None else None
        if row is None or row.removed_at is not None or owner is None or owner.status != "active":
            raise _refused("no account in use has it", "没有可用账户持有它")
        try:
            proved = webauthn.verify_authentication_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=origin,
                credential_public_key=row.public_key,
                credential_current_sign_count=row.sign_count,
                require_user_verification=True,
            )
        except _UNREADABLE as exc:
            raise _refused(str(exc), "证明不成立") from exc
        row.sign_count, row.used_at, row.backed_up = proved.new_sign_count, self._now(), proved.credential_backed_up
        response = given.response
        return Asserted(
            row.account_id,
            row.id,
            row.credential_id,
            row.public_key,
            response.authenticator_data,
            response.client_data_json,
            response.signature,
        )

    def check_origin(self, origin: str) -> str:
        """``origin``, if pages of this node live there.

        :raises WrongOrigin: they do not
        """
        if origin == self.origin:
            return origin
        there = urlsplit(origin)
        plain = f"{there.scheme}://{there.netloc}"
        local = self.rp_id == "localhost" or self.rp_id.endswith(".localhost")
        secure = there.scheme == "https" or (there.scheme == "http" and local)
        if self._any_port and secure and there.hostname == self.rp_id and origin == plain:
            return origin
        raise WrongOrigin(
            f"Passkeys work only under this service's own address; open {self.origin}.",
            f"通行密钥只能在本服务自己的地址使用；请打开 {self.origin}。",
            origin=self.origin,
        )


def _own(session: Session, account_id: str, passkey_id: str) -> PasskeyRow:
    row = session.get(PasskeyRow, passkey_id)
    if row is None or row.account_id != account_id or row.removed_at is not None:
        raise NoSuchPasskey(
            "The account has no such passkey; look at the list again.", "该账户没有这个通行密钥；请刷新列表后再试。"
        )
    return row


def _passkey(row: PasskeyRow) -> Passkey:
    return Passkey(
        row.id,
        row.account_id,
        row.name,
        row.credential_id,
        "removed" if row.removed_at is not None else "active",
        row.backed_up,
        row.created_at,
        row.used_at,
        row.public_key,
    )


def _descriptor(credential_id: str) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=base64url_to_bytes(credential_id))


def _transports(credential: str | Mapping[str, Any]) -> list[str]:
    """How the browser says that the authenticator is reached; only a hint."""
    given = json.loads(credential) if isinstance(credential, str) else credential
    named = given.get("response", {}).get("transports", [])
    known = ("usb", "nfc", "ble", "smart-card", "internal", "hybrid")
    return [one for one in known if isinstance(named, list) and one in named]


def _refused(why: str, why_zh: str) -> PasskeyRefused:
    return PasskeyRefused(
        f"The passkey's proof does not hold: {why}. Try again or sign in another way; for a new passkey ask the administrator.",
        f"通行密钥验证未通过：{why_zh}。请重试或改用其他方式登录；如需重新登记请联系系统管理员。",
    )
