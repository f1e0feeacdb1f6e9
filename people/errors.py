"""Refusals about people."""

from __future__ import annotations

from crypto.errors import (
    BadInput,
    Conflict,
    Forbidden,
    Misconfigured,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)


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


class NoSuchApproval(NotFound):
    """No approval of this region has this identifier."""

    code = "no-such-approval"


class NoSuchOfficerKey(NotFound):
    """No key of an officer has this identifier."""

    code = "no-such-officer-key"


class OfficerKeyRefused(Conflict):
    """A passkey or certificate that cannot be enrolled for approvals like this."""

    code = "officer-key-refused"


class AlreadyApproved(Conflict):
    """This officer, or this key, has approved already: two of one are still one."""

    code = "already-approved"


class ApprovalClosed(Conflict):
    """The approval was used, refused or withdrawn, or it expired."""

    code = "approval-closed"


class ApprovalShort(Forbidden):
    """Not enough officers who are officers now have approved."""

    code = "approval-short"


class ApprovalForOther(Forbidden):
    """What was approved is not what would happen."""

    code = "approval-for-other"


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


class BadClientKey(BadInput):
    """A key that cannot be registered for a system."""

    code = "bad-client-key"


class NoSuchClientKey(NotFound):
    """The system has no such key."""

    code = "no-such-client-key"


class NoSuchIdentity(NotFound):
    """Nobody of this identifier signed in at the provider."""

    code = "no-such-identity"


class NotBoundYet(Forbidden):
    """Signed in at the provider, and bound to no account here."""

    code = "not-bound-yet"


class ProviderRefused(Unauthenticated):
    """The OpenID provider said no, or what it says does not hold."""

    code = "provider-refused"


class ProviderUnavailable(Unavailable):
    """The OpenID provider does not answer sensibly."""

    code = "provider-unavailable"


class SignInAgain(Forbidden):
    """The person signed in too long ago for this."""

    code = "sign-in-again"


class BadIdentityNumber(BadInput):
    """Not a resident identity number (GB 11643); the number is never echoed."""

    code = "bad-identity-number"


class PersonKeyMissing(Misconfigured):
    """The secret behind the person keys is gone: without it nobody would be found again."""

    code = "person-key-missing"


class CitizenUnknown(Unauthenticated):
    """No citizen is signed in in this browser."""

    code = "citizen-not-signed-in"


class SignInHere(Conflict):
    """The session puts licences on another phone than the one that asks."""

    code = "sign-in-here"


class NoSuchCitizen(NotFound):
    """No citizen of this region has this identifier."""

    code = "no-such-citizen"


class AssuranceTooLow(Forbidden):
    """The identity provider did not make sure of the person in a way that counts here."""

    code = "assurance-too-low"


class DevelopmentProvider(Misconfigured):
    """A production node meets an identity provider that is for development only."""

    code = "development-provider"
