"""What this node's trust list says: the entries that :mod:`trust` signs, collected from the rooms that own them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trust.schemas import ListContent, TrustedEntity
from verify.trust import ServiceType, TrustedService

if TYPE_CHECKING:
    from ceremonies.node import Node

LIST_LIFE = timedelta(days=30)
_CERTIFIED = {"tsa": ServiceType.TSA, "seal-maker": ServiceType.SEAL_MAKER}


def list_content(node: Node, now: datetime) -> ListContent:
    """Everything the node vouches for at ``now``; ``sequence`` 0 lets the publisher count."""
    entities = [
        TrustedEntity(f"{node.name} 证书颁发机构", _authorities(node)),
        TrustedEntity(f"{node.name} 时间戳与制章", _certified(node)),
        TrustedEntity(f"{node.name} 证照签发", _licence_issuers(node)),
    ]
    domain = urlsplit(node.config.base_url).netloc
    return ListContent(
        region=node.region,
        name=node.name,
        sequence=0,
        issued=now,
        next_update=now + LIST_LIFE,
        entities=[e for e in entities if e.services],
        domains=(domain,),
    )


def _authorities(node: Node) -> Sequence[TrustedService]:
    kinds = {"root": ServiceType.CA_ROOT, "issuing": ServiceType.CA_ISSUING}
    return [
        TrustedService(
            kinds[a.kind], a.certificate.subject, node.region, certificate=a.certificate, since=a.certificate.not_before
        )
        for a in node.ca.authorities()
    ]


def _certified(node: Node) -> Sequence[TrustedService]:
    found = []
    for profile, kind in _CERTIFIED.items():
        for record in node.ca.records(limit=1000, profile=profile):
            granted = record.status in ("good", "expired")
            found.append(
                TrustedService(
                    kind,
                    record.subject,
                    node.region,
                    certificate=record.certificate,
                    status="granted" if granted else "withdrawn",
                    since=record.not_before if granted else record.revoked_at,
                )
            )
    return found


def _licence_issuers(node: Node) -> Sequence[TrustedService]:
    return [
        TrustedService(ServiceType.LICENCE_ISSUER, name, node.region, certificate=certificate, since=certificate.not_before)
        for name, certificate in node.licences.issuers()
    ]
