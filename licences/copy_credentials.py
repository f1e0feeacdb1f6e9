"""The two forms of a copy's credential, signed by the credential issuer's key within one attempt of an intent.

The *SD-JWT VC* holds the licence's fields, each of which its holder may disclose or keep back; it travels by OpenID4VP. The
*compact credential* holds what a counter needs and fits the code that a phone shows. Both are bound to the phone's key, name
the same place in the status list and run out together.

A personal licence in another's hands (an agent's) carries no identity number, and codes show names and numbers masked.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto.keys import PublicKey, Signer
from formats import codes, masking, sdjwt, statuslist
from formats.identifiers import LicenceIdentifier
from licences.catalogue import LicenceType, licence_type
from licences.models import LicenceRow
from verify.schemas import StatusRef

VCT = "urn:xinyin:vct:"
"""Type of our SD-JWT VCs (``vct``), followed by the licence type: the same in every region."""


@dataclass(frozen=True)
class CredentialOrder:
    """What is to be signed: of which licence, for whom, bound to which key, until when.

    :ivar bearer: the name of whoever carries it
    :ivar matters: codes; empty: every matter
    :ivar base_url: the issuing node's address, ``iss``
    """

    licence: LicenceRow
    role: str
    bearer: str
    matters: tuple[str, ...]
    key: PublicKey
    status: StatusRef
    issued: datetime
    expires: datetime
    base_url: str
    region: str


@dataclass(frozen=True)
class Credentials:
    """Both forms; ``expires`` is when they run out."""

    sd_jwt: str
    compact: bytes
    expires: datetime

    def to_json(self) -> bytes:
        """The artefact of the intent."""
        kept = {"sd_jwt": self.sd_jwt, "compact": self.compact.hex(), "expires": self.expires.isoformat()}
        return json.dumps(kept, sort_keys=True).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> Credentials:
        """Read :meth:`to_json`."""
        kept = json.loads(data)
        return cls(kept["sd_jwt"], bytes.fromhex(kept["compact"]), datetime.fromisoformat(kept["expires"]))


def make(order: CredentialOrder, signer: Signer) -> Credentials:
    """Sign both forms: two signatures of one key.

    :raises BadCode: names or matters are too long for a code
    """
    kind = licence_type(order.licence.type_id)
    compact = codes.encode_credential(_compact(order, kind), signer)
    return Credentials(_sd_jwt(order, signer), compact, order.expires)


def _compact(order: CredentialOrder, kind: LicenceType) -> codes.Credential:
    licence = order.licence
    number = str(licence.data.get(kind.number) or "")
    return codes.Credential(
        issuer=licence.issuer_name,
        subject=licence.identifier,
        licence_type=kind.name,
        holder=masking.name(licence.holder_name) if kind.of_a_person else licence.holder_name,
        number=masking.number(number) if kind.of_a_person else number,
        issued=order.issued,
        expires=order.expires,
        token_id=secrets.token_bytes(8),
        region=order.region,
        key=order.key,
        role=order.role,
        bearer=masking.name(order.bearer) if order.role == "holder" else order.bearer,
        status=order.status,
        matters=order.matters,
        sample=licence.sample,
    )


def always_shown(order: CredentialOrder) -> dict[str, Any]:
    """Claims that a holder cannot keep back: what a verifier must know to judge the rest, and nothing about a person."""
    licence = order.licence
    shown = {
        "iss": order.base_url,
        "vct": VCT + licence.type_id,
        "iat": int(order.issued.timestamp()),
        "exp": int(order.expires.timestamp()),
        "status": statuslist.ref_to_json(order.status),
        "licence_identifier": licence.identifier,
        "licence_type": licence_type(licence.type_id).name,
        "issuing_authority": licence.issuer_name,
        "issuing_authority_code": LicenceIdentifier.parse(licence.identifier).issuer_code,
        "issuing_region": order.region,
        "role": order.role,
    }
    if order.matters:
        shown["matters"] = list(order.matters)
    if licence.sample:
        shown["sample"] = True
    return shown


def selectable(order: CredentialOrder) -> dict[str, Any]:
    """Claims that the holder discloses one by one: the bearer's name and the licence's fields under their catalogue keys."""
    kind = licence_type(order.licence.type_id)
    withheld = {kind.number, kind.holder_code} if kind.of_a_person and order.role != "holder" else set()
    data = order.licence.data
    fields = {field.key: data[field.key] for field in kind.fields if data.get(field.key) and field.key not in withheld}
    return {"bearer": order.bearer, **fields}


def _sd_jwt(order: CredentialOrder, signer: Signer) -> str:
    """SD-JWT VC without key binding: the phone adds that whenever it presents it."""
    claims = always_shown(order) | {name: sdjwt.Hidden(value) for name, value in selectable(order).items()}
    header = {"typ": sdjwt.VC_TYPE, "kid": signer.public_key.fingerprint}
    return sdjwt.issue(claims, signer, header=header, holder=order.key)
