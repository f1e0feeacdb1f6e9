"""What this node's trust list says: the entries that :mod:`trust` signs, collected from the rooms that own them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crypto.suites import Suite
from formats.jose import public_jwk
from hsm.schemas import KeyPurpose, KeyState
from trust.schemas import ListContent, TrustedEntity
from verify.trust import ServiceType, TrustedService

if TYPE_CHECKING:
    from ca.schemas import CertificateRecord
    from ceremonies.node import Node
    from formats.x509 import Certificate

LIST_LIFE = timedelta(days=30)
_CERTIFIED = {"tsa": ServiceType.TSA, "seal-maker": ServiceType.SEAL_MAKER}
_BARE = {
    KeyPurpose.audit_checkpoint: (ServiceType.AUDIT, "审计日志"),
    KeyPurpose.receipt: (ServiceType.RECEIPT, "回执"),
    KeyPurpose.status_list: (ServiceType.STATUS_LIST, "状态列表"),
    KeyPurpose.credential_issuer: (ServiceType.CREDENTIAL_ISSUER, "凭证签发"),
}


def list_content(node: Node, now: datetime) -> ListContent:
    """Everything the node vouches for at ``now``; ``sequence`` 0 lets the publisher count."""
    unlisted, doubted = node.rotation.unlisted(), node.rotation.compromised()
    entities = [
        TrustedEntity(f"{node.name} 证书颁发机构", _authorities(node, unlisted, doubted)),
        TrustedEntity(f"{node.name} 时间戳与制章", _certified(node, unlisted)),
        TrustedEntity(f"{node.name} 证照签发", _licence_issuers(node, unlisted)),
        TrustedEntity(f"{node.name} 日志与回执", _bare_keys(node, unlisted, doubted)),
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
        status_lists=(f"{node.config.base_url.rstrip('/')}/status/seals.jws",),
        next_keys=_next_list_keys(node, unlisted),
    )


def _authorities(node: Node, unlisted: frozenset[str], doubted: Mapping[str, datetime]) -> Sequence[TrustedService]:
    """CAs, those that signed their last certificate too: what they signed is verified with them."""
    kinds = {"root": ServiceType.CA_ROOT, "issuing": ServiceType.CA_ISSUING}
    found = []
    for one in node.ca.authorities():
        if one.generation_id not in unlisted:
            since = doubted.get(one.generation_id)
            found.append(_entry(node, kinds[one.kind], one.certificate.subject, one.certificate, since))
    return found


def _certified(node: Node, unlisted: frozenset[str]) -> Sequence[TrustedService]:
    found = []
    for profile, kind in _CERTIFIED.items():
        for record in node.ca.records(limit=1000, profile=profile):
            if record.generation_id not in unlisted:
                found.append(_entry(node, kind, record.subject, record.certificate, _withdrawn(record)))
    return found


def _licence_issuers(node: Node, unlisted: frozenset[str]) -> Sequence[TrustedService]:
    """Every key that signed codes: a code on paper outlives its key by years."""
    found = []
    for name, role_id in node.licences.issuing_roles():
        for generation in node.keys.generations(role_id):
            if generation.id not in unlisted:
                for record in node.ca.records(generation_id=generation.id, limit=1000):
                    found.append(_entry(node, ServiceType.LICENCE_ISSUER, name, record.certificate, _withdrawn(record)))
    return found


def _withdrawn(record: CertificateRecord) -> datetime | None:
    """Since when a certificate no longer stands; a hold, an end or a successor takes nothing back."""
    return (record.invalidity_at or record.revoked_at) if record.status in ("hold", "revoked") else None


def _entry(node: Node, kind: ServiceType, name: str, certificate: Certificate, withdrawn: datetime | None) -> TrustedService:
    status, since = ("granted", certificate.not_before) if withdrawn is None else ("withdrawn", withdrawn)
    return TrustedService(kind, name, node.region, certificate=certificate, status=status, since=since)


def _bare_keys(node: Node, unlisted: frozenset[str], doubted: Mapping[str, datetime]) -> Sequence[TrustedService]:
    """Keys that others know without a certificate, the retired ones too."""
    found = []
    for purpose, (kind, name) in _BARE.items():
        for role in node.keys.roles(purpose, Suite.P256):
            for generation in node.keys.generations(role.id):
                if generation.id in unlisted:
                    continue
                withdrawn = doubted.get(generation.id)
                status, since = ("granted", generation.created_at) if withdrawn is None else ("withdrawn", withdrawn)
                jwk = public_jwk(generation.public_key)
                found.append(TrustedService(kind, f"{node.name} {name}", node.region, jwk=jwk, status=status, since=since))
    return found


def _next_list_keys(node: Node, unlisted: frozenset[str]) -> tuple[str, ...]:
    """The list's own next key, announced so that whoever pinned this one accepts the first list that it signs."""
    staged = [
        g.public_key.fingerprint
        for role in node.keys.roles(KeyPurpose.trust_list)
        for g in node.keys.generations(role.id)
        if g.state is KeyState.staged and g.id not in unlisted
    ]
    return tuple(staged)
