"""The licence inside a document: its attached metadata (GB/T 36903), and what the register says of it at the time asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pikepdf

from crypto.errors import XinyinError
from formats import masking
from formats.dates import BEIJING
from formats.identifiers import LicenceIdentifier
from formats.statuslist import ref_from_json
from policies.verification import VerificationPolicy
from verify import annotated
from verify import pdf as reader
from verify.age import on_whose_word, spoken
from verify.answer import Part
from verify.pdf import PdfDocument
from verify.reasons import Reason, reason
from verify.schemas import LicenceStatus, TokenState, VerificationContext, rfc3339

METADATA_NAMES = frozenset({"metadata.json", "licence-metadata.json"})
_MAX_METADATA = 256 * 1024
_PERSON = "111"
"""CZZTDMLXDM (GB/T 36903) of a holder named by a resident identity number."""


@dataclass(frozen=True)
class LicenceData:
    """What a licence says of itself. ``fields`` is None where an attachment of the right name cannot be read."""

    identifier: str
    fields: dict[str, Any] | None


def find(document: PdfDocument, policy: VerificationPolicy) -> LicenceData | None:
    """The licence metadata attached to the document: a JSON object that names a 证照标识 (ZZBS)."""
    for name, specification in _attachments(document, policy.limits.attachments):
        if name not in METADATA_NAMES:
            continue
        stream = reader.get(specification, "/EF", "/F")
        if stream is None:
            continue
        try:
            fields = json.loads(reader.stream_bytes(stream, _MAX_METADATA) or b"")
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict) and isinstance(fields.get("ZZBS"), str):
            return LicenceData(fields["ZZBS"][:200], fields)
        if not isinstance(fields, dict):
            return LicenceData("", None)
    return None


@dataclass(frozen=True)
class Sealer:
    """Whose seal is on the document, as a listed CA certified it: its region, and the organ's code (organizationIdentifier)."""

    region: str
    organ: str


@dataclass(frozen=True)
class Published:
    """What the status list of the issuing region says of the licence."""

    state: TokenState
    region: str


def judge(
    licence: LicenceData | None,
    digests: Callable[[], list[str]],
    sealers: Sequence[Sealer],
    context: VerificationContext,
    now: datetime,
) -> tuple[dict[str, Any] | None, Reason | Part | None]:
    """The ``licence`` block, and what it means for the answer.

    Metadata are a claim, whoever sealed them: the register is asked for the state, because a withdrawn licence is refused
    whoever sealed the copy, and whether this is the document that it issued, because any seal can be put on any metadata.
    Where no register answers, the status list that the metadata name is asked instead, on two conditions that keep one organ
    from vouching for another's licence: the list is of the region whose CA certified the seal, and the seal is the issuer's.

    :param digests: SHA-256 of the revisions of the file at hand
    :param sealers: of signatures that are intact and lead to a trust list
    """
    if licence is None:
        return None, None
    if licence.fields is None:
        return {"identifier": None, "status": "unknown"}, reason("licence-metadata-unreadable", "WARN")
    fields = licence.fields
    known = context.licences.status(licence.identifier, now) if context.licences is not None else None
    holder, number = _string(fields, "CZZT"), _string(fields, "ZZBH")
    if fields.get("CZZTDMLXDM") == _PERSON:  # the answer stands on a screen: enough to compare with the card in hand
        holder, number = masking.name(holder or "") or None, masking.number(number or "") or None
    block: dict[str, Any] = {
        "identifier": licence.identifier,
        "type": _string(fields, "ZZLXMC"),
        "number": number,
        "issuer": _string(fields, "ZZBFJG"),
        "holder": holder,
        "valid_from": _date(fields, "ZZYXQQSRQ"),
        "valid_to": _date(fields, "ZZYXQJZRQ"),
        "status": known.status if known else "unknown",
        "since": rfc3339(known.since) if known else None,
        "source": known.source if known else None,
    }
    if annotation := annotated.read(fields):
        block["annotation"] = annotation.block()
    if known is not None and known.documents and not set(known.documents) & set(digests()):
        return block, reason("licence-not-the-document", "WARN", id=licence.identifier)
    published = _published(fields, sealers, context, now) if known is None else None
    if isinstance(published, Reason):
        return block, published
    if published is not None:
        block |= {
            "status": published.state.status,
            "source": published.state.source,
            "as_of": rfc3339(published.state.as_of),
            "stale": published.state.stale,
        }
    found = _listed(licence, published, fields, now) if published else _finding(licence, known, fields, now)
    if annotation is not None and isinstance(found, Part):
        found = annotation.in_force(licence.identifier)
    if published is not None and isinstance(found, Part):
        found = _with_age(found, published, now)
    return block, found


def _published(
    fields: dict[str, Any], sealers: Sequence[Sealer], context: VerificationContext, now: datetime
) -> Published | Reason | None:
    """The state that the issuing region publishes; None where it is not known here, a reason where the seal is no issuer's."""
    if context.statuses is None or "status" not in fields:
        return None
    try:
        ref = ref_from_json(fields["status"])
        host = urlsplit(ref.uri).netloc.lower()
    except (XinyinError, ValueError):
        return None
    regions = {one.region for one in context.trust.lists if host in {d.lower() for d in one.domains}}
    here = [one for one in sealers if one.region in regions]
    if not here:
        return None
    issuer = _string(fields, "ZZBFJGDM")
    # Metadata call their issuer as they like; whose licence it is stands in the identifier, by which recognition goes.
    own = next((one for one in here if one.organ == issuer == _named_issuer(fields)), None)
    if own is None:
        return reason("licence-not-its-issuer", "WARN", issuer=_string(fields, "ZZBFJG") or "?")
    state = context.statuses.state(ref, now)
    return Published(state, own.region) if state is not None else None


def _named_issuer(fields: dict[str, Any]) -> str | None:
    """The issuing organ's code in the licence's identifier (GB/T 36904); None where it is none of that form."""
    try:
        return LicenceIdentifier.parse(str(fields["ZZBS"])).issuer_code
    except XinyinError:
        return None


def _listed(licence: LicenceData, published: Published, fields: dict[str, Any], now: datetime) -> Reason | Part:
    """What the list's word means. What has ended has ended, however old the list."""
    state = published.state
    values = {"id": licence.identifier, "region": published.region, "as_of": rfc3339(state.as_of) or "?"}
    if state.value:
        return reason(f"licence-listed-{state.status}", "WARN", **values)
    ended = _ended(licence, fields, now)
    if ended is not None:
        return ended
    if state.stale:
        age, age_zh = spoken(state.as_of, now)
        return reason("licence-status-stale", "WARN", **values, age=age, age_zh=age_zh)
    return _in_force(licence)


def _with_age(part: Part, published: Published, now: datetime) -> Part:
    """The same, with whose word it is and how old."""
    said, said_zh = on_whose_word(published.region, published.state.as_of, now)
    return replace(part, message=f"{part.message} {said}", message_zh=part.message_zh + said_zh)


def _finding(licence: LicenceData, known: LicenceStatus | None, fields: dict[str, Any], now: datetime) -> Reason | Part:
    values = {"id": licence.identifier, "since": rfc3339(known.since) or "?" if known else "?"}
    if known is not None and known.status != "in-force":
        code = {
            "withdrawn": "licence-withdrawn",
            "suspended": "licence-suspended",
            "expired": "licence-expired",
            "superseded": "licence-superseded",
        }.get(known.status, "licence-unknown")
        return reason(code, "WARN", state=known.state_zh or known.status, **values)
    ended = _ended(licence, fields, now)
    if ended is not None:
        return ended
    if known is None:
        return reason("licence-unknown", "WARN", id=licence.identifier)
    return _in_force(licence)


def _in_force(licence: LicenceData) -> Part:
    return Part("ok", f"The licence {licence.identifier} is in force.", f"证照 {licence.identifier} 有效。")


def _ended(licence: LicenceData, fields: dict[str, Any], now: datetime) -> Reason | None:
    """Whether the last day of validity that the document itself states is over."""
    end = _date(fields, "ZZYXQJZRQ")
    today = now.astimezone(BEIJING).date().isoformat()
    return reason("licence-expired", "WARN", id=licence.identifier, since=end) if end is not None and end < today else None


def attached(document: PdfDocument, policy: VerificationPolicy) -> list[dict[str, str]]:
    """``{"name", "sha256"}`` of each attached file; the digest (hex) is empty for one that is damaged or large."""
    found: dict[tuple[str, str], None] = {}
    for name, specification in _attachments(document, policy.limits.attachments):
        stream = reader.get(specification, "/EF", "/F")
        data = reader.stream_bytes(stream, _MAX_METADATA) if stream is not None else None
        found[name[:200], hashlib.sha256(data).hexdigest() if data else ""] = None  # /Names and /AF name the same file
    return [{"name": name, "sha256": digest} for name, digest in found]


def _attachments(document: PdfDocument, limit: int) -> list[tuple[str, Any]]:
    """(file name, file specification) from the name tree of embedded files and from /AF, bounded."""
    found: list[tuple[str, Any]] = []
    stack = [reader.get(document.pdf.Root, "/Names", "/EmbeddedFiles")]
    visited = 0
    while stack and visited < limit:
        node = stack.pop()
        visited += 1
        stack += reader.array(node, "/Kids")[:limit]
        found += [(_name(spec), spec) for spec in reader.array(node, "/Names")[1::2][:limit]]
    found += [(_name(spec), spec) for spec in reader.array(document.pdf.Root, "/AF")[:limit]]
    return found[:limit]


def _name(specification: Any) -> str:
    value = reader.get(specification, "/UF") or reader.get(specification, "/F")
    return str(value) if isinstance(value, pikepdf.String) else ""


def _string(fields: dict[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return value[:500] if isinstance(value, str) and value else None


def _date(fields: dict[str, Any], key: str) -> str | None:
    """YYYYMMDD (or with hyphens) as YYYY-MM-DD; None for 长期 and anything else."""
    digits = str(fields.get(key) or "").replace("-", "")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if len(digits) == 8 and digits.isdigit() else None
