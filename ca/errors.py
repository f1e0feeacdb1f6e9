"""Refusals of the CA."""

from __future__ import annotations

from crypto.errors import Conflict, Misconfigured, NotFound, Unprocessable


class NoSuchCertificate(NotFound):
    """Neither issued nor imported here."""

    code = "no-such-certificate"


class NoSuchAuthority(NotFound):
    """No CA of that name or suite on this node."""

    code = "no-such-authority"


class NotFounded(Misconfigured):
    """The node has no CA yet."""

    code = "ca-not-founded"


class KeyNotInUse(Conflict):
    """A certificate for a key that must not get new ones."""

    code = "key-not-in-use"


class CertificateStateRefused(Conflict):
    """Its present state does not allow this."""

    code = "certificate-state"


class OutsideCertificate(Conflict):
    """Only the outside CA that issued it can do this."""

    code = "outside-certificate"


class ImportRefused(Unprocessable):
    """A certificate from an outside CA that cannot be used for our key; the subclasses say why."""

    code = "import-refused"


class ForeignKey(ImportRefused):
    code = "import-foreign-key"


class OutsideValidity(ImportRefused):
    code = "import-outside-validity"


class BrokenChain(ImportRefused):
    code = "import-broken-chain"


class WrongUsage(ImportRefused):
    code = "import-wrong-usage"


class WrongSeal(ImportRefused):
    code = "import-wrong-seal"


class AlreadyRevoked(ImportRefused):
    code = "import-revoked"


def no_such_certificate(what: str) -> NoSuchCertificate:
    return NoSuchCertificate(
        f"No certificate {what} is known here; check the number in `xinyin ca list`.",
        f"本节点没有证书 {what}；请在 `xinyin ca list` 中核对。",
    )


def not_founded(what: str, what_zh: str) -> NotFounded:
    return NotFounded(
        f"This node has no {what} yet; found it with `xinyin init`.",
        f"本节点尚未建立{what_zh}；请运行 `xinyin init`。",
    )
