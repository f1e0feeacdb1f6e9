"""What crosses the boundary of the seals: pages of lists, identifiers, refusals."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from crypto.errors import BadInput, Conflict, Forbidden, NotFound
from formats.dates import shown_time as shown_time
from formats.identifiers import check_char

T = TypeVar("T")

_ES_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; ``next`` is the cursor of the following one, None at the end."""

    items: list[T]
    next: str | None


def page_of(rows: Iterable[Any], limit: int, key: Callable[[Any], str], shown: Callable[[Any], Any | None]) -> Page[Any]:
    """A page out of ``limit + 1`` rows; ``shown`` gives a row as plain JSON, or None where the caller may not see it.

    So a page can be shorter than its limit and still have a next one.
    """
    found = list(rows)
    items = [item for item in map(shown, found[:limit]) if item is not None]
    return Page(items, key(found[limit - 1]) if len(found) > limit else None)


def new_es_id(region: str) -> str:
    """A new esID: region (GB/T 2260, 6 digits), 13 random characters of Crockford's base 32, a MOD 37,36 check character.

    Twenty IA5 characters that nobody can count or guess; a slip of the pen shows in the check character.
    """
    body = region + "".join(secrets.choice(_ES_ALPHABET) for _ in range(13))
    return body + check_char(body)


def is_es_id(text: str) -> bool:
    """Whether ``text`` has the form and check character of an esID made here."""
    return bool(re.fullmatch(r"\d{6}[0-9A-Z]{14}", text)) and check_char(text[:-1]) == text[-1]


class NoSuchSeal(NotFound):
    """No seal has this identifier or esID."""

    code = "no-such-seal"


def no_such_seal() -> NoSuchSeal:
    """For raising."""
    return NoSuchSeal("There is no such seal; `xinyin seal list` shows them.", "没有该印章；可用 `xinyin seal list` 查看。")


class NoSuchImpression(NotFound):
    """No impression has this identifier."""

    code = "no-such-impression"


class NoSuchApplication(NotFound):
    """No application has this identifier."""

    code = "no-such-application"


class SealNotInForce(Conflict):
    """The seal is suspended, revoked, expired or not finished."""

    code = "seal-not-in-force"


class SealStateRefused(Conflict):
    """The seal's present state does not allow this change."""

    code = "seal-state"


class ImpressionStateRefused(Conflict):
    """The impression was voided or replaced already."""

    code = "impression-state"


class NoCertificate(Conflict):
    """The seal's key has no certificate that is valid now."""

    code = "seal-without-certificate"


class NoSuchSuite(BadInput):
    """The seal has no key in the suite asked for, or the format does not go with it."""

    code = "seal-suite"


class ApplicationNeeded(Forbidden):
    """This needs an application that was signed off, and none such was named."""

    code = "approved-application-needed"


class ApplicationStateRefused(Conflict):
    """The application's present state does not allow this."""

    code = "application-state"


class ApplicationChanged(Conflict):
    """What was signed off is not what is to be sealed: a document, a place or a row was changed since."""

    code = "application-changed"


class BadApplication(BadInput):
    """An application that cannot be put like this."""

    code = "bad-application"


class BadSeal(BadInput):
    """A seal that cannot be made like this."""

    code = "bad-seal"
