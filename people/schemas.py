"""What other rooms know of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ROLES = (
    "handler",
    "reviewer",
    "signer_off",
    "seal_keeper",
    "licensing_clerk",
    "window_clerk",
    "officer",
    "auditor",
    "administrator",
)
"""经办, 审核, 签发, 印章管理员, 证照经办, 窗口人员, 密钥管理员, 审计员, 系统管理员."""

DELEGABLE_ROLES = frozenset({"handler", "reviewer", "signer_off", "seal_keeper", "licensing_clerk"})
"""What somebody else may do in one's place. Officers, auditors and administrators act themselves or not at all."""

EXCLUSIVE_ROLES = frozenset({"officer", "auditor", "administrator"})
"""Nobody has two of these: who holds keys, who looks on and who makes accounts are three people."""

ActorKind = Literal["local-operator", "staff", "system", "node", "citizen", "region", "anonymous"]
"""``citizen`` is somebody from outside, signed in at the region's identity provider; ``region`` another region's node, known by
the key that its trust list names.

``node`` is the node itself, in the course of something that was authorised under another rule."""


@dataclass(frozen=True)
class Actor:
    """Whoever acts, as rules and the audit log see them.

    ``id`` is the account's identifier (``local-operator`` and ``anonymous`` for those without one); idempotency keys count per
    ``id``. ``departments`` are the identifiers and social credit codes of the own department and of those below it.

    Who stands in for others (代签授权) has, besides the own authority, one member of ``stand_ins`` a delegation: the same
    ``id`` with the delegated roles and departments, ``on_behalf_of`` the account stood in for, ``delegation`` its identifier,
    and the ``matters`` that it is limited to (empty: every matter). The rules are asked for the own authority first.
    """

    id: str
    name: str
    roles: frozenset[str] = frozenset()
    department: str | None = None
    region: str = ""
    kind: ActorKind = "staff"
    departments: frozenset[str] = field(default=frozenset())
    on_behalf_of: str | None = field(default=None, repr=False)
    delegation: str | None = field(default=None, repr=False)
    matters: frozenset[str] = field(default=frozenset(), repr=False)
    stand_ins: tuple[Actor, ...] = field(default=(), repr=False)
    person: str | None = field(default=None, repr=False)
    """Of a citizen: the keyed digest of the identity number, by which licences and authorisations name people."""

    @property
    def reach(self) -> frozenset[str]:
        """Departments in which this person may have a say: the own ones and those of whoever is stood in for."""
        return self.departments.union(*(one.departments for one in self.stand_ins))

    @property
    def every_role(self) -> frozenset[str]:
        """Own and delegated roles: what a page may offer. What is allowed the rules decide, where it is known for what."""
        return self.roles.union(*(one.roles for one in self.stand_ins))


ANONYMOUS = Actor("anonymous", "anonymous", kind="anonymous")


def local_operator(region: str) -> Actor:
    """Whoever has a shell on the node and its home: the command line without ``--as``."""
    return Actor("local-operator", "local operator", region=region, kind="local-operator")


@dataclass(frozen=True)
class Account(Actor):
    """An account: the actor that it is, and what administrators see of it. ``name`` is what one signs in with."""

    display_name: str = ""
    status: str = "active"
    created_at: datetime | None = None


@dataclass(frozen=True)
class Citizen(Actor):
    """Somebody from outside, signed in at the region's identity provider; ``name`` as that says it, ``person`` always set.

    ``assurance`` is the provider's own word (``acr``) for how it made sure of the person; empty where it said none.
    """

    assurance: str = ""


@dataclass(frozen=True)
class Department:
    """A department of the tree; ``uscc`` is its unified social credit code where it has one."""

    id: str
    name: str
    uscc: str | None
    parent: str | None


@dataclass(frozen=True)
class SignedIn:
    """A new session: ``token`` goes into the cookie and is shown this once."""

    account: Account
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class OpenSession:
    """A session as its owner sees it in a list; ``current`` is the one that asks."""

    id: str
    method: str
    agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool = False


@dataclass(frozen=True)
class Passkey:
    """A passkey of an account. ``credential_id`` is base64url; ``backed_up``: its maker keeps a copy elsewhere."""

    id: str
    account: str
    name: str
    credential_id: str
    status: str
    backed_up: bool
    created_at: datetime
    used_at: datetime | None
    public_key: bytes = field(repr=False, default=b"")


@dataclass(frozen=True)
class Asserted:
    """A passkey's proof that held: whose it is, and what is needed to check it again without this database.

    ``public_key`` is a COSE_Key; ``authenticator_data``, ``client_data`` and ``signature`` are as the authenticator gave them
    (WebAuthn §7.2: the signature is over authenticator_data ‖ SHA-256(client_data)).
    """

    account_id: str
    passkey_id: str
    credential_id: str
    public_key: bytes = field(repr=False)
    authenticator_data: bytes = field(repr=False)
    client_data: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True)
class Delegation:
    """Somebody stands in for somebody. ``status``: planned, active, ended or withdrawn; ``matters`` empty: every matter."""

    id: str
    status: str
    from_account: str
    to_account: str
    roles: tuple[str, ...]
    department: str
    matters: tuple[str, ...]
    reason: str
    since: datetime
    until: datetime
    created_by: str
    created_at: datetime
    withdrawn_at: datetime | None = None


@dataclass(frozen=True)
class HandOver:
    """A post that passed on; ``moved`` counts the pieces of open work that went along, by kind."""

    id: str
    from_account: str
    to_account: str
    roles: tuple[str, ...]
    reason: str
    moved: dict[str, int]
    at: datetime
    by: str


@dataclass(frozen=True)
class Identity:
    """Who somebody is at an OpenID provider; ``status``: bound, or waiting for an administrator."""

    id: str
    status: str
    issuer: str
    subject: str
    shown_name: str
    account: str | None
    created_at: datetime

    @property
    def code(self) -> str:
        """Six characters to say over the telephone, so that the administrator finds the right request."""
        return self.id[-6:].upper()


@dataclass(frozen=True)
class ClientKey:
    """A public key of a system for its client assertions; ``status``: active, expired or revoked."""

    id: str
    account: str
    name: str
    kid: str
    thumbprint: str
    status: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class ApiToken:
    """A token of a system without its secret."""

    id: str
    account: str
    name: str
    created_at: datetime
    expires_at: datetime
    status: str
