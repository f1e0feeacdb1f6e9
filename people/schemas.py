"""What other rooms know of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ROLES = ("handler", "reviewer", "signer_off", "seal_keeper", "licensing_clerk", "officer", "auditor", "administrator")
"""经办, 审核, 签发, 印章管理员, 证照经办, 密钥管理员, 审计员, 系统管理员."""

EXCLUSIVE_ROLES = frozenset({"officer", "auditor", "administrator"})
"""Nobody has two of these: who holds keys, who looks on and who makes accounts are three people."""

ActorKind = Literal["local-operator", "staff", "system", "anonymous"]


@dataclass(frozen=True)
class Actor:
    """Whoever acts, as rules and the audit log see them.

    ``id`` is the account's identifier (``local-operator`` and ``anonymous`` for those without one); idempotency keys count per
    ``id``. ``departments`` are the identifiers and social credit codes of the own department and of those below it.
    """

    id: str
    name: str
    roles: frozenset[str] = frozenset()
    department: str | None = None
    region: str = ""
    kind: ActorKind = "staff"
    departments: frozenset[str] = field(default=frozenset())


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
class ApiToken:
    """A token of a system without its secret."""

    id: str
    account: str
    name: str
    created_at: datetime
    expires_at: datetime
    status: str
