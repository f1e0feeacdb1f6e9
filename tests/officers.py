"""Officers for tests: accounts with keys of their own, enrolled and confirmed as the rules want it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crypto.keys import SoftwareKey, digest
from crypto.suites import Suite, default_scheme
from formats import cms
from formats.x509 import Certificate, CertificateSpec, Subject, build_certificate
from people.approvals import ApprovalService
from people.errors import NoSuchAccount
from people.schemas import Account, Actor
from people.service import AccountService
from tests.soft_passkey import SoftPasskey

PASSWORD = "correct horse battery"
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


@dataclass
class Officer:
    """An officer with a certificate's key; ``passkey`` where one was enrolled."""

    account: Account
    key: SoftwareKey
    certificate: Certificate
    passkey: SoftPasskey | None = None

    def cms(self, message: bytes) -> bytes:
        """Detached CMS over ``message``."""
        scheme = default_scheme(self.key.public_key.suite)
        attributes = cms.signed_attributes(
            content_digest=digest(scheme.digest, message), digest=scheme.digest, signing_certificate=self.certificate
        )
        return cms.signed_data(
            signed_attrs=attributes,
            signature=self.key.sign(attributes),
            scheme=scheme,
            certificates=[self.certificate],
        )

    def approve(self, approvals: ApprovalService, approval: str) -> dict[str, Any]:
        """With the certificate."""
        message = approvals.document(self.account, approval)
        return approvals.sign_with_certificate(self.account, approval, self.cms(message))


def certificate(key: SoftwareKey, name: str, *, first: datetime = FIRST, last: datetime = LAST) -> Certificate:
    """A self-signed certificate for signing."""
    spec = CertificateSpec(
        Subject(name), key.public_key, 1 + abs(hash(name)) % 10**9, first, last, key_usage=("digitalSignature",)
    )
    return build_certificate(spec, key)


def officer(
    people: AccountService, approvals: ApprovalService, name: str, admin: Actor | None, suite: Suite = Suite.P256
) -> Officer:
    """An officer whose certificate is enrolled; ``admin`` None leaves it to be confirmed."""
    try:
        account = people.get(name)
    except NoSuchAccount:
        account = people.create(name, PASSWORD, roles={"officer"}, display_name=f"样本 {name}")
    key = SoftwareKey.generate(suite)
    one = Officer(account, key, certificate(key, name))
    challenge = approvals.keys.challenge(account, one.certificate.der)
    proposed = approvals.keys.propose_certificate(account, one.certificate.der, key.sign(challenge))
    if admin is not None:
        approvals.keys.confirm(admin, proposed["id"])
    return one


def add_passkey(people: AccountService, approvals: ApprovalService, one: Officer, admin: Actor, origin: str, host: str) -> str:
    """Give an officer a passkey that approves; the identifier of the officer's key."""
    one.passkey = SoftPasskey(origin, host)
    options, ticket = people.passkeys.begin_enrolment(one.account)
    people.passkeys.finish_enrolment(one.account, ticket, one.passkey.create(options), name="钥匙", origin=origin)
    proposed = approvals.keys.propose_passkey(one.account, one.passkey.id)
    return str(approvals.keys.confirm(admin, proposed["id"])["id"])
