"""Refusals about people."""

from __future__ import annotations

from crypto.errors import BadInput, Conflict, Forbidden, NotFound, TooManyRequests, Unauthenticated


class BadCredentials(Unauthenticated):
    """Name or password is wrong; which of them is not said."""

    code = "bad-credentials"


class SignInLocked(TooManyRequests):
    """Too many failed sign-ins under this name."""

    code = "sign-in-locked"


class BadToken(Unauthenticated):
    """A bearer token that is unknown, expired or revoked."""

    code = "bad-token"


class BadAccount(BadInput):
    """An account or department that cannot be made like this."""

    code = "bad-account"


class RolesExclude(Conflict):
    """Officer, auditor and administrator exclude one another."""

    code = "roles-exclude"


class NameTaken(Conflict):
    """The name is in use."""

    code = "name-taken"


class NoSuchAccount(NotFound):
    """No account has this name or identifier."""

    code = "no-such-account"


class NoSuchDepartment(NotFound):
    """No department has this identifier."""

    code = "no-such-department"


class NoDemoPeople(Forbidden):
    """Demo people do not exist in production."""

    code = "no-demo-people"


class NoSuchSession(NotFound):
    """The account has no such session."""

    code = "no-such-session"


class PasskeyRefused(Unauthenticated):
    """A passkey's proof that does not hold."""

    code = "passkey-refused"


class BadPasskey(BadInput):
    """A passkey that cannot be added."""

    code = "bad-passkey"


class NoSuchPasskey(NotFound):
    """The account has no such passkey."""

    code = "no-such-passkey"


class WrongOrigin(Forbidden):
    """The page was opened under another address than the node's own."""

    code = "wrong-origin"


class TicketOver(BadInput):
    """What was begun is over: used, or too old."""

    code = "start-over"


class BadDelegation(BadInput):
    """A delegation that cannot be made like this."""

    code = "bad-delegation"


class NoSuchDelegation(NotFound):
    """No delegation has this identifier."""

    code = "no-such-delegation"


class BadHandOver(BadInput):
    """A post that cannot be handed over like this."""

    code = "bad-hand-over"
