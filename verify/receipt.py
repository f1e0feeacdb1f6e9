"""Checking receipts 核验回执: whose listed key signed one, and what it says. Needs a trust list, no database and no network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from crypto.errors import BadInput
from crypto.keys import PublicKey
from formats import jose
from formats.dates import shown_time
from verify.trust import ServiceType, TrustStore

TYPE = "xinyin-receipt+jwt"
MAX_BYTES = 64 << 10


class BadReceipt(BadInput):
    """Not a receipt, or not one that a listed receipt key signed."""

    code = "bad-receipt"


def check(compact: str, trust: TrustStore) -> dict[str, Any]:
    """What a receipt says, if a receipt key of an accepted trust list signed it while it was listed.

    :raises BadReceipt: it is none, was altered, or no listed receipt key made it
    """
    text = compact.strip()
    listed = [service for service in trust.services() if service.type is ServiceType.RECEIPT]
    try:
        header, claims, key = jose.verify(text, _keys(service.jwk for service in listed), max_payload=MAX_BYTES)
        if header.get("typ") != TYPE:
            raise BadReceipt("This is signed, but it is not a receipt.", "该文件虽有签名，但不是核验回执。")
        issued = datetime.fromtimestamp(int(claims["iat"]), UTC)
        service = next(s for s in listed if _fingerprint(s.jwk) == key.fingerprint)
    except jose.BadJws as exc:
        raise BadReceipt(
            "This receipt was altered, or it comes from a region whose trust list is not held here.",
            "该回执已被改动，或来自本地未导入信任列表的地区。",
        ) from exc
    except (KeyError, TypeError, ValueError, OverflowError, StopIteration) as exc:
        raise BadReceipt("This is not a receipt of a verification.", "这不是核验回执。") from exc
    if service.withdrawn_at(issued):
        raise BadReceipt(
            f"The key of {service.name} had been withdrawn when this receipt was made.",
            f"出具该回执时，{service.name} 的密钥已被撤出信任列表。",
        )
    return {
        "id": str(claims.get("jti", ""))[:80],
        "status": "genuine",
        "signed_by": service.name,
        "region": service.region,
        "issued_at": shown_time(issued),
        **{
            name: claims.get(name)
            for name in ("by", "presented", "licence", "matter", "judged_at", "verdict", "answer", "lists")
        },
    }


def belongs(found: Mapping[str, Any], data: bytes) -> bool:
    """Whether a checked receipt is about this file."""
    presented = found.get("presented")
    return isinstance(presented, dict) and presented.get("sha256") == hashlib.sha256(data).hexdigest()


def _keys(jwks: Iterable[Mapping[str, Any] | None]) -> list[PublicKey]:
    return [jose.public_key(jwk) for jwk in jwks if jwk is not None]


def _fingerprint(jwk: Mapping[str, Any] | None) -> str:
    return jose.public_key(jwk).fingerprint if jwk is not None else ""
