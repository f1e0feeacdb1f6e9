"""The verifier's policy as data: how hard each check is, and the limits within which a document is looked at.

The file is TOML (``verification.toml`` beside this module is the default). Levels follow EU DSS: ``FAIL`` keeps a signature
from passing, ``WARN`` lets it pass and asks a clerk to look, ``INFORM`` is said and nothing more, ``IGNORE`` is not said.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from crypto.errors import Misconfigured

DEFAULT_FILE = Path(__file__).with_name("verification.toml")


class Level(StrEnum):
    """How hard a check is."""

    FAIL = "FAIL"
    WARN = "WARN"
    INFORM = "INFORM"
    IGNORE = "IGNORE"


class PolicyUnreadable(Misconfigured):
    """The policy file is not what the verifier can follow."""

    code = "verification-policy-unreadable"


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read: bytes, counts, pages, pixels."""

    file_bytes: int
    contents_bytes: int
    signatures: int
    objects: int
    certificates: int
    path_length: int
    revocation_bytes: int
    rendered_pages: int
    rendered_pixels: int
    attachments: int


@dataclass(frozen=True)
class VerificationPolicy:
    """One policy. ``backdating_tolerance``, ``revocation_freshness`` and ``clock_skew`` are seconds.

    ``source`` is the text it was read from, so that a worker process can follow the same rules.
    """

    name: str
    version: str
    digest: str
    checks: Mapping[str, Level]
    limits: Limits
    backdating_tolerance: int
    revocation_freshness: int
    clock_skew: int
    digests: frozenset[str]
    rsa_bits: int
    curves: frozenset[str]
    source: str = field(default="", repr=False, compare=False)

    def level(self, check: str) -> Level:
        """How hard ``check`` is; a check that the file does not name fails, so that a typing error never opens a door."""
        return self.checks.get(check, Level.FAIL)

    @property
    def label(self) -> str:
        """Name, version and the start of the file's SHA-256, as in ``engine.policy`` of a verdict."""
        return f"{self.name}/{self.version}#{self.digest[:12]}"


def parse(text: str) -> VerificationPolicy:
    """Read a policy.

    :raises PolicyUnreadable: not TOML, a value missing or of the wrong kind, an unknown level
    """
    try:
        raw: dict[str, Any] = tomllib.loads(text)
        limits = Limits(**{key.replace("-", "_"): int(value) for key, value in raw["limits"].items()})
        return VerificationPolicy(
            name=str(raw["name"]),
            version=str(raw["version"]),
            digest=hashlib.sha256(text.encode()).hexdigest(),
            checks={key: Level(value) for key, value in raw["checks"].items()},
            limits=limits,
            backdating_tolerance=int(raw["time"]["backdating-tolerance"]),
            revocation_freshness=int(raw["time"]["revocation-freshness"]),
            clock_skew=int(raw["time"]["clock-skew"]),
            digests=frozenset(raw["algorithms"]["digests"]),
            rsa_bits=int(raw["algorithms"]["rsa-bits"]),
            curves=frozenset(raw["algorithms"]["curves"]),
            source=text,
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise PolicyUnreadable(
            f"The verification policy cannot be used ({exc}); compare it with policies/verification.toml.",
            f"验证策略文件无法使用（{exc}）；请对照 policies/verification.toml 修改。",
        ) from exc


@lru_cache(maxsize=8)
def load(path: Path = DEFAULT_FILE) -> VerificationPolicy:
    """The policy in ``path``, read once a process.

    :raises PolicyUnreadable: no such file, or see :func:`parse`
    """
    try:
        return parse(path.read_text("utf-8"))
    except OSError as exc:
        raise PolicyUnreadable(
            f"The verification policy {path} cannot be read ({exc.strerror}).",
            f"无法读取验证策略文件 {path}（{exc.strerror}）。",
        ) from exc
