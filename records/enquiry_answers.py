"""What this node's register says to an enquiry: yes, no, or nothing on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from formats.dates import BEIJING
from licences.annotated_models import AnnotatedCopyRow
from licences.catalogue import OPEN_END, licence_type
from licences.models import AuthorityRow, LicenceRow
from licences.service import LicenceService
from records.between_models import EnquiryRow
from records.enquiry_questions import digest

_NO_END = "99991231"


@dataclass(frozen=True)
class Said:
    """The register's word on one enquiry.

    :ivar in_force: None where no such licence is on the register
    :ivar document: whether the file asked about is one that was issued as this licence; None where none was asked about
    :ivar particulars: by name; None where the register does not hold it
    """

    in_force: bool | None
    state: str
    document: bool | None
    particulars: Mapping[str, bool | None]

    @property
    def agrees(self) -> bool:
        """Whether everything that was asked is answered by yes."""
        return self.in_force is True and self.document is not False and all(said is True for said in self.particulars.values())

    def to_dict(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "in_force": self.in_force,
            "state": self.state,
            "document": self.document,
            "particulars": dict(self.particulars),
        }


def licence_of(session: Session, region: str, identifier: str | None, document_sha256: str | None) -> LicenceRow | None:
    """The licence of this identifier, else the one that was issued as this document or an annotated copy of it."""
    ours = sa.select(LicenceRow).where(LicenceRow.region == region)
    if identifier is not None:
        return session.scalars(ours.where(LicenceRow.identifier == identifier)).one_or_none()
    found = session.scalars(ours.where(LicenceRow.document_sha256 == document_sha256)).first()
    if found is not None:
        return found
    copies = sa.select(AnnotatedCopyRow.licence_id).where(AnnotatedCopyRow.document_sha256 == document_sha256)
    return session.scalars(ours.where(LicenceRow.id.in_(copies))).first()


def seal_of(session: Session, row: LicenceRow) -> str | None:
    """The seal of the organ that issues such licences."""
    found = session.get(AuthorityRow, (row.type_id, row.issuer_uscc))
    return found.seal_id if found is not None else None


def said(session: Session, licences: LicenceService, row: EnquiryRow, at: datetime) -> tuple[Said, LicenceRow | None]:
    """What the register says at ``at``, and the licence that it is about."""
    licence = licence_of(session, licences.region, row.identifier, row.document_sha256)
    if licence is None:
        return Said(None, "unknown", False if row.document_sha256 else None, dict.fromkeys(row.particulars)), None
    status = licences.status(licence.identifier, at)
    state = status.status if status is not None else "unknown"
    held = _held(licence)
    particulars = {name: _compared(row.salt, name, asked, held) for name, asked in row.particulars.items()}
    return Said(state == "in-force", state, _same_document(session, licence, row.document_sha256), particulars), licence


def _same_document(session: Session, licence: LicenceRow, document_sha256: str | None) -> bool | None:
    if document_sha256 is None:
        return None
    if licence.document_sha256 == document_sha256:
        return True
    copies = sa.select(AnnotatedCopyRow.id).where(
        AnnotatedCopyRow.licence_id == licence.id, AnnotatedCopyRow.document_sha256 == document_sha256
    )
    return session.scalar(copies.limit(1)) is not None


def _compared(salt: str, name: str, asked: str, held: Mapping[str, tuple[str, ...]]) -> bool | None:
    values = [value for value in held.get(name, ()) if value]
    return any(digest(salt, name, value) == asked for value in values) if values else None


def _held(licence: LicenceRow) -> dict[str, tuple[str, ...]]:
    """The particulars that can be asked about as the register has them; several ways to write one where there are."""
    kind, data = licence_type(licence.type_id), licence.data
    end = (licence.valid_to - timedelta(seconds=1)).astimezone(BEIJING).strftime("%Y%m%d") if licence.valid_to else ""
    return {
        "holder": (licence.holder_name,),
        "holder_code": (licence.holder_code,),
        "number": (str(data.get(kind.number, "")),),
        "issuer": (licence.issuer_name,),
        "valid_to": (end,) if end else (OPEN_END, _NO_END),
        "representative": (str(data.get("representative", "")),),
        "address": (str(data.get("address", "")),),
    }
