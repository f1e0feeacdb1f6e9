"""What can go wrong between a request to sign and a signature that may leave."""

from __future__ import annotations

from crypto.errors import Conflict, Forbidden, Misconfigured, NotFound, TooLarge, Unavailable, XinyinError


class DriverMissing(Misconfigured):
    """The PKCS#11 library is not there or cannot be loaded."""

    code = "driver-missing"


class TokenMissing(Misconfigured):
    """The library knows no token with this label."""

    code = "token-missing"


class PinRefused(Misconfigured):
    """The token does not accept the PIN in the node's secrets."""

    code = "pin-refused"


class ProfileMismatch(Misconfigured):
    """The token does not sign as the vendor profile says."""

    code = "profile-mismatch"


class BadProfile(Misconfigured):
    """A vendor profile that cannot be read."""

    code = "bad-profile"


class StandInRefused(Misconfigured):
    """A token that calls itself a stand-in, or a software key, in production."""

    code = "stand-in-refused"


class TokenFailed(Unavailable):
    """The token did not do what it was asked, twice; nothing was signed."""

    code = "token-failed"


class KeyMissing(Misconfigured):
    """The token does not hold the key that the database names."""

    code = "key-missing"


class FaultySignature(XinyinError):
    """A token returned a signature that does not verify. Nothing left the signer."""

    code = "faulty-signature"
    status = 500


class SignerUnreachable(Unavailable):
    """No signer answers on this node's socket, or the one that holds the lock is gone."""

    code = "signer-unreachable"


class SignerBusy(Unavailable):
    """Another process holds this node's tokens and offers no socket."""

    code = "signer-busy"


class FrameRefused(TooLarge):
    """A message to the signer that is over the limit or not in its language."""

    code = "frame-refused"


class NoSuchRole(NotFound):
    """No key role has this identifier."""

    code = "no-such-role"


class NoSuchGeneration(NotFound):
    """No key generation has this identifier, or the role has no active one."""

    code = "no-such-generation"


class KeyStateForbids(Conflict):
    """The state of the key does not allow this."""

    code = "key-state"


class PurposeForbids(Forbidden):
    """A key was asked for a use that its purpose does not cover."""

    code = "key-purpose"


class RoleExists(Conflict):
    """A role of this purpose, suite and name is there already."""

    code = "role-exists"
