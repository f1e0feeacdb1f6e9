"""Signed lists of seal status, as regions publish them: the state of every seal with its history, and the keys it ever had.

Compact JWS (ES256) by a key that the region's trust list names as ``status-list``. Read here, below the rooms that publish, so
that a verifier can go by a list without trusting anybody's database. A list past its next update says nothing any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from crypto.errors import BadInput
from verify.schemas import SealStatus
from verify.trust import MAX_LIST_BYTES, REGION, ServiceType, TrustStore

TYPE = "seal-status+jws"
STATES = frozenset({"in-force", "suspended", "revoked"})


class SealStatusRefused(BadInput):
    """A seal-status list that must not be used."""

    code = "seal-status-refused"


class _Registry(jws.JWSRegistry):
    """joserfc's bounds, widened to what a list of every seal needs."""

    max_header_length = 2048
    max_payload_length = MAX_LIST_BYTES


_REGISTRY = _Registry(algorithms=["ES256"], strict_check_header=False)


@dataclass(frozen=True)
class ListedSeal:
    """One seal of a list; ``events`` are ``(from when, state)``, oldest first."""

    name: str
    valid_to: datetime
    keys: tuple[str, ...]
    events: tuple[tuple[datetime, str], ...]


@dataclass(frozen=True)
class SealStatusList:
    """A list whose signature was checked against the region's trust list. Fills ``verify.schemas.SealStatusProvider``."""

    region: str
    issued: datetime
    next_update: datetime
    seals: Mapping[str, ListedSeal]

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        """How a seal stood at ``at``; None for one that the list does not know, or not yet, and after its next update."""
        seal = self.seals.get(es_id)
        if seal is None or at > self.next_update:
            return None
        past = [event for event in seal.events if event[0] <= at]
        if not past:
            return None
        since, state = past[-1]
        if state != "revoked" and at > seal.valid_to:
            since, state = seal.valid_to, "expired"
        return SealStatus(es_id, seal.name, self.region, state, since, "status-list", seal.keys)


def read_seal_status(text: str | bytes, trust: TrustStore) -> SealStatusList:
    """Check a list's signature with the keys that the region's trust list names, and its shape.

    :raises SealStatusRefused: no listed key of the region signed it, or it makes no sense
    """
    compact = (text.decode("ascii", "replace") if isinstance(text, bytes) else text).strip()
    if len(compact) > MAX_LIST_BYTES:
        raise _refused("it is too large", "文件过大")
    region = _claimed_region(compact)
    for service in trust.keys(ServiceType.STATUS_LIST, region):
        if service.status != "granted" or service.jwk is None:
            continue
        try:
            payload = jws.deserialize_compact(compact, ECKey.import_key(dict(service.jwk)), registry=_REGISTRY)
        except (JoseError, ValueError):
            continue
        if payload.headers().get("typ") == TYPE:
            return _body(json.loads(payload.payload), region)
    raise _refused(f"no listed key of region {region} signed it", f"地区 {region} 的信任列表中没有签署它的密钥")


def _claimed_region(compact: str) -> str:
    """The region that the list says it is for; whether that is so is what its signature shows."""
    try:
        region = json.loads(jws.extract_compact(compact.encode()).payload)["region"]
    except (JoseError, ValueError, KeyError, TypeError) as exc:
        raise _refused("it is no signed list", "不是经签名的列表") from exc
    if not isinstance(region, str) or not REGION.fullmatch(region):
        raise _refused("it names no region", "未注明地区")
    return region


def _body(body: Any, region: str) -> SealStatusList:
    try:
        seals = {str(one["es_id"]): _seal(one) for one in body["seals"]}
        return SealStatusList(region, _time(body["issued"]), _time(body["next_update"]), seals)
    except (KeyError, TypeError, ValueError) as exc:
        raise _refused(f"its content cannot be read ({type(exc).__name__})", "其内容无法读取") from exc


def _seal(one: Mapping[str, Any]) -> ListedSeal:
    events = tuple(sorted((_time(e["from"]), str(e["status"])) for e in one["events"]))
    if not events or {state for _, state in events} - STATES:
        raise ValueError("events")
    return ListedSeal(str(one["name"]), _time(one["valid_to"]), _texts(one["keys"]), events)


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _time(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _refused(why: str, why_zh: str) -> SealStatusRefused:
    return SealStatusRefused(
        f"The seal-status list cannot be used: {why}. Fetch it again from the region's own service.",
        f"印章状态列表无法使用：{why_zh}。请从该地区的官方服务重新获取。",
    )
