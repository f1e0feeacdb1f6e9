"""The one error tree.

Every refusal that leaves Xinyin, on the command line or over HTTP, is a :class:`XinyinError`. It carries a stable
``code``, one sentence in English and one in Chinese that say what to do, and the two places where it is mapped: the HTTP
status of its ``application/problem+json`` (RFC 9457) and the exit status of the command. A room adds to the tree by
subclassing one of the families below in its own ``errors.py`` (or beside the code that raises it).
"""

from __future__ import annotations

from typing import Any, ClassVar


class XinyinError(Exception):
    """Root of the tree.

    :param message: one English sentence that says what is wrong and what to do about it
    :param message_zh: the same in Chinese
    :param detail: plain JSON values that a program may use (never secrets, never personal data)
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, message_zh: str, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.message_zh = message_zh
        self.detail = detail

    def to_dict(self) -> dict[str, Any]:
        """``{"code", "message", "message_zh", "detail"}``: what reports, problem+json and ``--json`` share."""
        return {
            "code": self.code,
            "message": self.message,
            "message_zh": self.message_zh,
            "detail": self.detail,
        }


class BadInput(XinyinError):
    """What was handed in cannot be used as it is; the sender can mend it."""

    code = "bad-input"
    status = 400


class Usage(BadInput):
    """A command line that makes no sense."""

    code = "usage"
    exit_status = 2


class Unauthenticated(XinyinError):
    """Nobody is signed in, or the credentials are wrong."""

    code = "unauthenticated"
    status = 401


class Forbidden(XinyinError):
    """Known caller, not allowed; the message names the rule and whom to ask."""

    code = "forbidden"
    status = 403


class NotFound(XinyinError):
    """No such object, or none that this caller may know of."""

    code = "not-found"
    status = 404


class Conflict(XinyinError):
    """The object's state does not allow this now."""

    code = "conflict"
    status = 409


class TooLarge(XinyinError):
    """Over a limit of size, count or depth."""

    code = "too-large"
    status = 413


class Unprocessable(XinyinError):
    """Well-formed, yet refused for what it says."""

    code = "unprocessable"
    status = 422


class TooManyRequests(XinyinError):
    """Slow down and try again."""

    code = "too-many-requests"
    status = 429


class Unavailable(XinyinError):
    """A part that is needed does not answer; nothing was lost, try again."""

    code = "unavailable"
    status = 503


class Misconfigured(XinyinError):
    """The node's own set-up is wrong; its operator must act."""

    code = "misconfigured"
    status = 500


# --- the crypto room's own ---


class UnsupportedKey(BadInput):
    """A public key of a kind that no suite covers."""

    code = "unsupported-key"


class MalformedKey(UnsupportedKey):
    """A key of a known kind whose numbers or encoding are wrong."""

    code = "malformed-key"


class MalformedSignature(BadInput):
    """A signature value that is none, whatever the key."""

    code = "malformed-signature"


class SchemeMismatch(BadInput):
    """A scheme asked of a key of another suite."""

    code = "scheme-mismatch"


class SigningUnavailable(Misconfigured):
    """This machine lacks what is needed to sign with that suite."""

    code = "signing-unavailable"


class SigningFailed(Unavailable):
    """The cryptographic library refused an operation that should have worked."""

    code = "signing-failed"
