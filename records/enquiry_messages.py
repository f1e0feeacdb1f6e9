"""Enquiries and their answers as they travel between nodes: written from a row, and read from what a message says."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from pydantic import ValidationError

from formats.identifiers import BadIdentifier, LicenceIdentifier
from records.between_models import EnquiryRow
from records.enquiry_questions import PARTICULARS, Answered, Asked, BadEnquiry, moment
from records.peers import BadMessage


def identifier_of(text: str | None) -> str | None:
    """In its usual form. :raises BadEnquiry: no licence identifier"""
    if not text:
        return None
    try:
        return str(LicenceIdentifier.parse(text))
    except BadIdentifier as exc:
        raise BadEnquiry(exc.message, exc.message_zh) from exc


def body_of(row: EnquiryRow) -> dict[str, Any]:
    """The enquiry as it travels: :class:`records.enquiry_questions.Asked`."""
    names = ("reference", "identifier", "document_sha256", "matter", "salt", "particulars", "organ", "remark")
    times = {"asked_at": int(row.asked_at.timestamp()), "due_at": int(row.due_at.timestamp())}
    return {name: getattr(row, name) for name in names} | times


def read_answer(body: Mapping[str, Any]) -> tuple[Answered, bytes, str]:
    """An answer, its letter, and the enquiry that it is to. :raises BadMessage: it makes no sense"""
    try:
        answer = Answered.model_validate(body["answer"])
        moment(answer.at, UTC)
        letter = base64.b64decode(body["letter"], validate=True)
        reference = body["reference"]
        if not isinstance(reference, str) or not set(answer.particulars) <= set(PARTICULARS):
            raise ValueError
    except (KeyError, TypeError, ValueError, binascii.Error, ValidationError, BadEnquiry) as exc:
        raise _no_sense(exc) from exc
    return answer, letter, reference


def read_enquiry(body: Mapping[str, Any]) -> dict[str, Any]:
    """What another region asks, as columns of :class:`records.between_models.EnquiryRow`.

    :raises BadMessage: it makes no sense
    """
    try:
        asked = Asked.model_validate(dict(body))
        times = {"asked_at": moment(asked.asked_at, UTC), "due_at": moment(asked.due_at, UTC)}
        columns = {**asked.model_dump(), **times, "identifier": identifier_of(asked.identifier)}
    except (ValidationError, BadEnquiry) as exc:
        raise _no_sense(exc) from exc
    nothing = columns["identifier"] is None and columns["document_sha256"] is None
    if nothing or not set(asked.particulars) <= set(PARTICULARS):
        raise _no_sense(None)
    return columns


def _no_sense(exc: Exception | None) -> BadMessage:
    why = "; ".join(".".join(map(str, e["loc"])) for e in exc.errors()) if isinstance(exc, ValidationError) else ""
    return BadMessage("The enquiry or its answer cannot be understood.", "无法理解该协查或答复的内容。", fields=why[:200])
