"""Vendor profiles: what differs from one vendor's PKCS#11 to the next, as data (``hsm/profiles/*.toml``)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from hsm.errors import BadProfile

FOLDER = Path(__file__).resolve().parent / "profiles"

Sm2Input = Literal["e", "z-message", "message"]
Encoding = Literal["raw", "der"]
Hasher = Literal["token", "host"]


@dataclass(frozen=True)
class Sm2Profile:
    """How a vendor's token makes SM2 signatures (GB/T 32918.2-2016).

    ``input`` is what the mechanism takes: ``e`` (32 bytes), ``z-message`` (Z_A ‖ M, hashed by the token) or ``message`` (the
    token computes Z_A as well, for the default user ID). ``encoding`` is what it returns: 64 bytes r ‖ s or DER.
    """

    key_type: int
    generate: int
    sign: int
    input: Sm2Input
    encoding: Encoding


@dataclass(frozen=True)
class Profile:
    """One vendor's ways. ``library`` is a path, ``devtoken`` for our own module, or None: the node's configuration names it."""

    name: str
    title: str
    library: str | None
    stand_in: bool
    rsa_hash: Hasher
    p256_hash: Hasher
    sm2: Sm2Profile | None


def names() -> list[str]:
    """The profiles that come with Xinyin."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """The profile of this name, or from this path to a ``.toml`` file.

    :raises BadProfile: there is none, or it cannot be read
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise _bad(name, f"it cannot be read; there are {', '.join(names())}") from exc
    return _from_toml(path.stem, data)


def _from_toml(name: str, data: dict[str, Any]) -> Profile:
    try:
        sm2 = data.get("sm2")
        return Profile(
            name=name,
            title=str(data.get("title", name)),
            library=data.get("library"),
            stand_in=bool(data.get("stand_in", False)),
            rsa_hash=_one_of(data.get("rsa", {}).get("hash", "token"), "token", "host"),
            p256_hash=_one_of(data.get("p256", {}).get("hash", "host"), "token", "host"),
            sm2=None
            if sm2 is None
            else Sm2Profile(
                key_type=int(sm2["key_type"]),
                generate=int(sm2["generate"]),
                sign=int(sm2["sign"]),
                input=_one_of(sm2["input"], "e", "z-message", "message"),
                encoding=_one_of(sm2["encoding"], "raw", "der"),
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _bad(name, f"a value is missing or makes no sense: {exc}") from exc


def _one_of(value: object, *allowed: str) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return cast(Any, value)


def _bad(name: str, why: str) -> BadProfile:
    return BadProfile(
        f"The vendor profile {name!r} cannot be used: {why}.",
        f"无法使用厂商配置 {name!r}；请检查其 .toml 文件，或改用内置配置：{'、'.join(names())}。",
        profile=name,
    )
