"""Another region whose keys the tests hold: its trust list is imported by a node, and it asks that node about licences."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ceremonies.node import Node
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import jose
from formats.identifiers import LicenceIdentifier
from formats.jose import public_jwk
from store.db import utc_now
from store.ids import new_id
from trust.schemas import ListContent, TrustedEntity
from trust.service import sign_list
from verify.trust import ServiceType, TrustedService

REGION = "330000"


class Neighbour:
    """Zhejiang, as ``node`` knows it from now on. Nothing listens at its address."""

    region = REGION

    def __init__(self, node: Node) -> None:
        self.node = node
        self.key = SoftwareKey.generate(Suite.P256)
        service = TrustedService(ServiceType.RECEIPT, "样本 回执", REGION, jwk=public_jwk(self.key.public_key))
        now = utc_now()
        entities = [TrustedEntity("样本机关", [service])]
        content = ListContent(REGION, "浙江省", 1, now, now + timedelta(days=30), entities, domains=("330000.localhost:1",))
        node.trust.accept(sign_list(content, self.key).encode(), pin=self.key.public_key.fingerprint)

    @property
    def licence(self) -> str:
        """The identifier of a licence that it would have issued."""
        kind, issuer = "11100000MB0143028R001", "11330000MB0X799990"
        return str(LicenceIdentifier.build(type_code=kind, issuer_code=issuer, serial="1"))

    def ask(self, identifier: str, **more: Any) -> str:
        """Ask the node about a licence of its own; the enquiry's identifier there."""
        number, now = new_id("enquiry"), int(utc_now().timestamp())
        asked = {"reference": number, "identifier": identifier, "document_sha256": None, "matter": None, "salt": "0" * 32}
        asked |= {"particulars": {}, "organ": "样本机关", "remark": None, "asked_at": now, "due_at": now + 3600, **more}
        claims = {"iss": REGION, "aud": self.node.region, "iat": now, "jti": number, "kind": "enquiry", "body": asked}
        self.node.peer_mail.receive(jose.sign({"typ": "peer-message+jws"}, claims, self.key))
        return str(self.node.enquiries.list(self.node.actor(None), direction="in", limit=1).items[0]["id"])
