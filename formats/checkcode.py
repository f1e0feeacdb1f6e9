"""查验码: twelve characters on a printed copy, typed where nothing can scan: eleven at random and one that checks them.

The alphabet has 23 characters, none of which looks like another in print or by hand (no 0 and O, 1, I and L, 2 and Z, 5 and S,
8 and B, U and V). 23 is a prime, so that the check character finds every single wrong character and every two that changed
places. Eleven characters are 49.7 bits: with a limit on tries nobody guesses one.
"""

from __future__ import annotations

import secrets
import unicodedata

from crypto.errors import BadInput

ALPHABET = "34679ACDEFGHJKMNPQRTWXY"
LENGTH = 12
_GROUP = 4
_LOOK_ALIKES = frozenset("0O1IL2Z5S8BUV")


class BadCheckCode(BadInput):
    """Something typed that cannot be a 查验码."""

    code = "bad-check-code"


def new() -> str:
    """A fresh code, without separators."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH - 1))
    return body + check_char(body)


def check_char(body: str) -> str:
    """The last character for the eleven before it: the sum of (place × value) with places from 1, modulo 23."""
    return ALPHABET[sum(place * ALPHABET.index(c) for place, c in enumerate(body, 1)) % len(ALPHABET)]


def shown(code: str) -> str:
    """As printed: three groups of four, ``A3CD-7KMN-PQ4R``."""
    return "-".join(code[at : at + _GROUP] for at in range(0, LENGTH, _GROUP))


def parse(typed: str) -> str:
    """What was typed as the code that it is: capitals, without blanks and hyphens, full-width characters as usual ones.

    :raises BadCheckCode: too short or long, a character that no code has, or a slip that the check character finds
    """
    text = unicodedata.normalize("NFKC", typed[:64]).upper()
    text = "".join(c for c in text if not (c.isspace() or unicodedata.category(c) == "Pd"))
    strange = [c for c in text if c not in ALPHABET]
    if strange:
        odd = strange[0] if strange[0].isprintable() else "?"
        hint = " It looks like another one; look again." if odd in _LOOK_ALIKES else ""
        hint_zh = "，请再看一下纸面（可能是形近字符）" if odd in _LOOK_ALIKES else ""
        raise BadCheckCode(
            f"No 查验码 contains “{odd}”.{hint} It has twelve of the characters {ALPHABET}.",
            f"查验码中没有“{odd}”{hint_zh}；查验码由 12 个字符组成，只使用 {ALPHABET}。",
        )
    if len(text) != LENGTH:
        raise BadCheckCode(
            f"A 查验码 has twelve characters; {len(text)} were typed.", f"查验码共 12 个字符，您输入了 {len(text)} 个。"
        )
    if check_char(text[:-1]) != text[-1]:
        raise BadCheckCode(
            "One of the characters is wrong, or two changed places; compare with the paper.",
            "查验码有字符输错或顺序颠倒，请与纸面核对后重新输入。",
        )
    return text
