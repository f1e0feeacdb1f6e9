"""Certificate profiles: data in ``profiles.toml``, read once and checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from crypto.errors import Misconfigured, NotFound
from formats.x509 import KEY_USAGE_BITS


@dataclass(frozen=True)
class Profile:
    """One kind of certificate; the fields are explained at the head of ``profiles.toml``."""

    name: str
    issuer: Literal["self", "root", "issuing"]
    days: int
    key_usage: tuple[str, ...]
    status: Literal["crl", "ocsp+crl", "none"]
    ca: bool = False
    path_len: int | None = None
    eku: tuple[str, ...] = ()
    eku_critical: bool = False
    ocsp_nocheck: bool = False
    es_id: Literal["required", "forbidden"] = "forbidden"


class NoSuchProfile(NotFound):
    """A profile name that profiles.toml does not have."""

    code = "no-such-profile"


class BadProfile(Misconfigured):
    """profiles.toml contradicts itself."""

    code = "bad-profile"


def profile(name: str) -> Profile:
    """:raises NoSuchProfile: unknown name"""
    try:
        return profiles()[name]
    except KeyError:
        known = ", ".join(profiles())
        raise NoSuchProfile(
            f"There is no certificate profile {name!r}; use one of {known}.",
            f"没有名为 {name!r} 的证书模板；可用：{known}。",
        ) from None


@cache
def profiles() -> dict[str, Profile]:
    """All profiles by name. :raises BadProfile: the file contradicts itself"""
    text = (Path(__file__).parent / "profiles.toml").read_text("utf-8")
    return {name: _checked(name, fields) for name, fields in tomllib.loads(text).items()}


def _checked(name: str, fields: dict[str, Any]) -> Profile:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    try:
        made = Profile(name=name, **values)
    except TypeError as exc:
        raise _bad(name, str(exc)) from exc
    signs_certificates = "keyCertSign" in made.key_usage
    rules = {
        "an unknown key usage": set(made.key_usage) <= set(KEY_USAGE_BITS),
        "no key usage": bool(made.key_usage),
        "keyCertSign goes with ca": signs_certificates == made.ca,
        "a path length belongs to a CA": made.ca or made.path_len is None,
        "nobody could learn that it was revoked": made.status != "none" or made.ocsp_nocheck or made.issuer == "self",
        "validity out of bounds": 1 <= made.days <= 7300,
    }
    broken = next((rule for rule, kept in rules.items() if not kept), None)
    if broken:
        raise _bad(name, broken)
    return made


def _bad(name: str, why: str) -> BadProfile:
    return BadProfile(
        f"Certificate profile {name!r} in ca/profiles.toml cannot be used: {why}.",
        f"ca/profiles.toml 中的证书模板 {name!r} 无法使用：{why}。",
    )
