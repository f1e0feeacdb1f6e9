"""The shape of a published trust list: JSON after ETSI TS 119 602, with what only we say in the places it leaves for that."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from formats.dates import shown_time
from verify.trust import EXTENSION, LIST_TYPE, SERVICE_TYPE_PREFIX, STATUS_PREFIX, TrustedService


@dataclass(frozen=True)
class TrustedEntity:
    """One organisation on the list and its services. ``url`` and ``contact`` are where people turn to."""

    name: str
    services: Sequence[TrustedService]
    url: str = "https://example.invalid/"
    contact: str = "mailto:postmaster@example.invalid"
    address: str = "—"


@dataclass(frozen=True)
class ListContent:
    """All that a list says. ``next_update`` None closes it: the region will publish no more (TS 119 602 §6.3.15).

    ``next_keys`` are the fingerprints of keys that will sign later lists: whoever pinned the present one then takes them over.
    """

    region: str
    name: str
    sequence: int
    issued: datetime
    next_update: datetime | None
    entities: Sequence[TrustedEntity]
    domains: Sequence[str] = ()
    status_lists: Sequence[str] = field(default=())
    next_keys: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The body that is signed."""
        extension: dict[str, Any] = {
            "region": self.region,
            "domains": [*self.domains],
            "status_lists": [*self.status_lists],
        }
        if self.next_keys:
            extension["next_keys"] = [*self.next_keys]
        body: dict[str, Any] = {
            "ListAndSchemeInformation": {
                "LoTEVersionIdentifier": 1,
                "LoTESequenceNumber": self.sequence,
                "LoTEType": LIST_TYPE,
                "SchemeOperatorName": [_chinese(self.name)],
                "SchemeName": [_chinese(f"{self.name} 信任列表")],
                "SchemeTerritory": "CN",
                "ListIssueDateTime": shown_time(self.issued),
                "NextUpdate": shown_time(self.next_update) if self.next_update else None,
                "SchemeExtensions": [{EXTENSION: extension}],
            }
        }
        entities = [_entity(e) for e in self.entities if e.services]
        if entities:
            body["TrustedEntitiesList"] = entities
        return {"LoTE": body}


def _entity(entity: TrustedEntity) -> dict[str, Any]:
    return {
        "TrustedEntityInformation": {
            "TEName": [_chinese(entity.name)],
            "TEAddress": {
                "TEPostalAddress": [{"lang": "zh", "StreetAddress": entity.address, "Country": "CN"}],
                "TEElectronicAddress": [{"lang": "zh", "uriValue": entity.contact}],
            },
            "TEInformationURI": [{"lang": "zh", "uriValue": entity.url}],
        },
        "TrustedEntityServices": [{"ServiceInformation": _service(s)} for s in entity.services],
    }


def _service(service: TrustedService) -> dict[str, Any]:
    identity: dict[str, Any] = {}
    if service.certificate is not None:
        identity["X509Certificates"] = [{"val": base64.b64encode(service.certificate.der).decode("ascii")}]
    if service.jwk is not None:
        identity["PublicKeyValues"] = [dict(service.jwk)]
    information: dict[str, Any] = {
        "ServiceName": [_chinese(service.name)],
        "ServiceDigitalIdentity": identity,
        "ServiceTypeIdentifier": SERVICE_TYPE_PREFIX + service.type.value,
        "ServiceStatus": STATUS_PREFIX + service.status,
    }
    if service.since is not None:
        information["StatusStartingTime"] = shown_time(service.since)
    return information


def _chinese(text: str) -> dict[str, str]:
    return {"lang": "zh", "value": text}
