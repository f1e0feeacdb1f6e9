"""Whether the other tables say what the audit log says: a row edited, added or removed behind its back is found and named.

The log is proved by its own hashes (:mod:`store.auditcheck`); pages, rules and verifiers read other tables. Each row that was
written together with a leaf is compared with it: columns that the leaf names must have the leaf's values, the state must be
that of the newest leaf, a row needs a leaf that made it, and a leaf that made a row needs the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca.models import CertificateRow
from crypto.keys import PublicKey
from formats.auditlog import Finding
from hsm.models import KeyGenerationRow
from licences.annotated_models import AnnotatedCopyRow
from licences.annotated_parts import content_digest
from licences.holding_models import CopyRow, GrantRow
from licences.models import LicenceRow
from licences.standing import person_mark
from people.models import AccountRow
from records.between_models import EnquiryRow
from records.verified_models import ProvisionalRow, ReceiptRow
from seals.models import ApplicationRow, ImpressionRow, SealRow
from store.audit import Entry, read_entry
from store.models import AuditLeafRow, AuditSubjectRow

_CHUNK = 500
_ROUNDING_S = 600
"""A row and its leaf are written in one transaction, which a busy database may repeat: minutes apart is not hours apart."""

Values = Mapping[str, Any]
_UNSAID = object()
"""What no leaf says."""


@dataclass(frozen=True)
class Difference:
    """One contradiction: the object, the column, what the log says (by which leaf) and what the row says."""

    kind: str
    kind_zh: str
    id: str
    column: str
    logged: Any
    found: Any
    leaf: str | None
    seq: int | None

    def finding(self) -> Finding:
        """As the report of a check says it."""
        if self.column == "":
            if self.found is None:
                return Finding(
                    "row-missing",
                    f"The {self.kind} {self.id} is on record and its row is gone from the database.",
                    f"日志中有{self.kind_zh} {self.id}，数据库中的数据行已不存在。",
                    self.seq,
                )
            return Finding(
                "row-without-leaf",
                f"The row of the {self.kind} {self.id} was never put on record: something else wrote it.",
                f"{self.kind_zh} {self.id} 的数据行在日志中没有记录，不是由本服务写入的。",
            )
        found, logged = _short(self.found), _short(self.logged)
        return Finding(
            "row-edited",
            f"The row of the {self.kind} {self.id} was edited: {self.column} is {found}, on record is {logged}.",
            f"{self.kind_zh} {self.id} 的数据行已被改动：{self.column} 现为 {found}，日志记载为 {logged}。",
            self.seq,
        )


@dataclass(frozen=True)
class Kept:
    """A table whose rows are written together with leaves.

    ``made``: kinds of leaf that make a row; ``changed``: that change it. ``told``: what one leaf says of its columns (a
    function is given what was said before); later leaves prevail. ``seen``: the comparable values of a row.
    """

    name: str
    zh: str
    row: Any
    made: frozenset[str]
    changed: frozenset[str]
    told: Callable[[Entry], Values]
    seen: Callable[[Any], Values]
    settled: Callable[[Any], bool] = lambda row: True
    """Whether the row is past its making: one that is still being made has no leaf yet."""
    also: frozenset[str] = frozenset()
    """Further names by which leaves speak of such a row; ``beside`` says what those leaves tell of it."""
    beside: Callable[[Entry, str], Values] = lambda leaf, name: {}


def differences_of(session: Session, kept: Kept, ids: Sequence[str]) -> Iterator[Difference]:
    """Every contradiction in the rows ``ids`` of one table."""
    rows = {row.id: row for row in session.scalars(sa.select(kept.row).where(kept.row.id.in_(ids)))}
    told = _told(session, kept, ids)
    for one in ids:
        logged, row = told.get(one), rows.get(one)
        if row is None:
            if logged is not None:
                yield Difference(kept.name, kept.zh, one, "", "made", None, *logged.newest)
        elif logged is None:
            if kept.settled(row):
                yield Difference(kept.name, kept.zh, one, "", None, "row", None, None)
        else:
            yield from _compare(kept, one, logged, kept.seen(row))


def check(session: Session, region: str) -> Iterator[Difference]:
    """Every contradiction in every table of :data:`TABLES`; memory does not grow with them."""
    for kept in TABLES:
        for ids in _pages(session, kept.row, region):
            yield from differences_of(session, kept, ids)
        for ids in _removed(session, kept, region):
            yield from differences_of(session, kept, ids)


@dataclass
class _Logged:
    values: dict[str, tuple[Any, str, int | None]]
    newest: tuple[str, int | None]


def _told(session: Session, kept: Kept, ids: Sequence[str]) -> dict[str, _Logged]:
    """By row: what the leaves that speak of it say, for rows that a leaf made."""
    statement = (
        sa.select(AuditSubjectRow.value, AuditSubjectRow.name, AuditLeafRow)
        .join(AuditLeafRow, AuditLeafRow.id == AuditSubjectRow.leaf_id)
        .where(AuditSubjectRow.value.in_(ids), AuditSubjectRow.name.in_({kept.name, *kept.also}))
        .where(AuditLeafRow.kind.in_(kept.made | kept.changed))
        .order_by(AuditLeafRow.at, AuditLeafRow.id)
    )
    found: dict[str, _Logged] = {}
    for value, name, row in session.execute(statement):
        if row.kind not in kept.made and value not in found:
            continue  # nothing made it: the row, if there is one, is without its leaf
        entry = read_entry(row)
        logged = found.setdefault(value, _Logged({}, (entry.id, entry.seq)))
        logged.newest = (entry.id, entry.seq)
        told = kept.told(entry) if name == kept.name else kept.beside(entry, name)
        for column, said in told.items():
            before = logged.values[column][0] if column in logged.values else None
            logged.values[column] = (said(before) if callable(said) else said, entry.id, entry.seq)
    return found


def _compare(kept: Kept, one: str, logged: _Logged, seen: Values) -> Iterator[Difference]:
    for column, (said, leaf, seq) in logged.values.items():
        if column in seen and said is not _UNSAID and not _same(said, seen[column]):
            yield Difference(kept.name, kept.zh, one, column, said, seen[column], leaf, seq)


def _same(said: Any, seen: Any) -> bool:
    if isinstance(said, datetime) and isinstance(seen, datetime):
        return abs((said - seen).total_seconds()) < _ROUNDING_S
    return bool(said == seen)


def _pages(session: Session, row: Any, region: str) -> Iterator[list[str]]:
    last = ""
    while True:
        statement = sa.select(row.id).where(row.region == region, row.id > last).order_by(row.id).limit(_CHUNK)
        ids = list(session.scalars(statement))
        if not ids:
            return
        yield ids
        last = ids[-1]


def _removed(session: Session, kept: Kept, region: str) -> Iterator[list[str]]:
    """Objects that a leaf made and that have no row."""
    statement = (
        sa.select(AuditSubjectRow.value)
        .join(AuditLeafRow, AuditLeafRow.id == AuditSubjectRow.leaf_id)
        .outerjoin(kept.row, kept.row.id == AuditSubjectRow.value)
        .where(AuditLeafRow.region == region, AuditLeafRow.kind.in_(kept.made))
        .where(AuditSubjectRow.name == kept.name, kept.row.id.is_(None))
        .order_by(AuditSubjectRow.value)
        .limit(_CHUNK)
    )
    ids = list(session.scalars(statement))
    if ids:
        yield ids


# -- what leaves say, table by table -------------------------------------------------------------------------------------


_IMPRESSION_ENDS = frozenset({"impression.voided", "impression.replaced"})


def _impression_told(leaf: Entry) -> Values:
    said, subject = leaf.data, leaf.subject
    if leaf.kind in _IMPRESSION_ENDS:
        return {"status": leaf.kind.partition(".")[2], "reason": said["reason"], "replaced_by": said["replaced_by"]}
    told = {
        "account": leaf.actor,
        "rule": leaf.rule,
        "seal_id": subject["seal"],
        "document_sha256": subject["document"],
        "generation_id": said["generation"],
        "matter": said["matter"],
        "application_id": said["application"],
        "intent_id": said["intent"],
        "attempt": said["attempt"],
        "status": "valid",
        "created_at": leaf.at,
    }
    if leaf.kind == "seal.applied":
        told |= {"input_sha256": said["input"], "revision_sha256": said["revision"]}
        told |= {"certificate_sha256": said["certificate"]} | {key: said[key] for key in ("suite", "format", "level")}
    return told


def _impression_seen(row: ImpressionRow) -> Values:
    return _columns(row) | {"reason": _digest(row.reason)}


def _seal_told(leaf: Entry) -> Values:
    said = leaf.data
    if leaf.kind == "seal.created":
        return {
            "es_id": leaf.subject["esid"],
            "owner_uscc": said["owner"],
            "kind": said["kind"],
            "sample": said["sample"],
            "picture_pdf": said["picture"],
            "application_id": said["application"],
            "status": "in-force",
        }
    return {"status": said["status"]}


_KEY_STATES = {f"key.{word}": word for word in ("staged", "draining", "retired", "destroyed")} | {"key.activated": "active"}


def _key_told(leaf: Entry) -> Values:
    told: dict[str, Any] = {"state": _KEY_STATES[leaf.kind]}
    if leaf.kind == "key.staged":
        told |= {"role_id": leaf.data["role"], "number": leaf.data["number"], "public_key": leaf.data["fingerprint"]}
    return told


def _key_seen(row: KeyGenerationRow) -> Values:
    key = PublicKey.from_spki(row.public_key).fingerprint if row.public_key else None
    return _columns(row) | {"public_key": key}


_CERTIFICATE_STATES = {
    "certificate.issued": "good",
    "certificate.imported": "good",
    "certificate.held": "hold",
    "certificate.released": "good",
    "certificate.revoked": "revoked",
}


def _certificate_told(leaf: Entry) -> Values:
    told: dict[str, Any] = {"status": _CERTIFICATE_STATES[leaf.kind]}
    if leaf.kind in ("certificate.issued", "certificate.imported"):
        told |= {"sha256": leaf.data["sha256"], "der": leaf.data["sha256"], "profile": leaf.data["profile"]}
        told |= {"generation_id": leaf.data["generation"]}
    return told


def _certificate_seen(row: CertificateRow) -> Values:
    seen = _columns(row) | {"der": hashlib.sha256(row.der).hexdigest() if row.der else None}
    if row.origin == "outside" and row.status == "revoked":  # by its own CA, whose answer is kept beside it
        del seen["status"]
    return seen


def _account_told(leaf: Entry) -> Values:
    said = leaf.data
    if leaf.kind == "people.created":
        return {"kind": said["kind"], "roles": said["roles"], "department_id": said["department"], "status": "active"}
    if leaf.kind == "people.roles-changed":
        return {"roles": said["after"]}
    if leaf.kind == "people.changed":
        return {"department_id": said["department"]}
    return {"status": leaf.kind.partition(".")[2]}


def _account_beside(leaf: Entry, name: str) -> Values:
    """A post that was handed over moves roles from one to the other (岗位交接)."""
    moved = set(leaf.data["roles"])
    if name == "to":  # who had no department gets that of the post, which the leaf does not name
        return {
            "roles": lambda roles: sorted({*(roles or []), *moved}),
            "department_id": lambda department: department or _UNSAID,
        }
    return {"roles": lambda roles: sorted({*(roles or [])} - moved)} | ({"status": "disabled"} if leaf.data["leaves"] else {})


_APPLICATION_STATES = {
    "application.submitted": "submitted",
    "application.amended": "submitted",
    "application.signed-off": "signed-off",
    "application.returned": "returned",
    "application.refused": "refused",
    "application.withdrawn": "withdrawn",
    "application.sealed": "sealed",
    "application.delivered": "delivered",
}


def _application_told(leaf: Entry) -> Values:
    said = leaf.data
    if leaf.kind == "application.handed-over":
        return {"handler": said.get("to", _UNSAID)}
    told: dict[str, Any] = {"status": _APPLICATION_STATES[leaf.kind], "matter": said["matter"]}
    told |= {"round": said["round"], "content_sha256": said["content"]}
    if leaf.kind == "application.submitted":
        told |= {"handler": leaf.actor, "purpose": said["purpose"]}
    if leaf.kind in ("application.submitted", "application.amended"):
        told |= {"document_sha256": said["document"], "seal_id": leaf.subject.get("seal"), "signer_off": None}
    if leaf.kind == "application.signed-off":
        told["signer_off"] = leaf.actor
    return told


def _application_seen(row: ApplicationRow) -> Values:
    """A sign-off that was used up for a seal or a licence stays a sign-off; that use has its own leaf."""
    return _columns(row) | {"status": "signed-off" if row.status == "used" else row.status}


def _licence_told(leaf: Entry) -> Values:
    told = {"identifier": leaf.data["identifier"], "document_sha256": leaf.subject["document"]}
    return told | {"impression_id": leaf.subject["impression"], "replaces": leaf.subject.get("replaces")}


def _annotated_told(leaf: Entry) -> Values:
    if leaf.kind == "licence.copy-withdrawn":
        return {"withdrawn_by": leaf.actor}
    told = {"document_sha256": leaf.subject["document"], "impression_id": leaf.subject["impression"], "withdrawn_by": None}
    return told | {"licence_id": leaf.subject["licence"], "content": leaf.data["content"], "actor": leaf.actor}


def _annotated_seen(row: AnnotatedCopyRow) -> Values:
    return _columns(row) | {"content": content_digest(row)}


def _grant_told(leaf: Entry) -> Values:
    if leaf.kind == "grant.withdrawn":
        return {"status": "withdrawn", "withdrawn_why": leaf.data["why"]}
    said = leaf.data
    told = {key: said[key] for key in ("kind", "matters", "basis", "person")}
    told |= {
        "until": datetime.fromisoformat(said["until"]),
        "licence_id": leaf.subject["licence"],
        "parent": leaf.subject.get("parent"),
    }
    return told | {"actor": leaf.actor, "status": "active"}


def _grant_seen(row: GrantRow) -> Values:
    return _columns(row) | {"status": "withdrawn" if row.withdrawn_at else "active", "person": person_mark(row.id, row.person)}


def _copy_told(leaf: Entry) -> Values:
    said = leaf.data
    if leaf.kind == "copy.ended":
        return {"status": said["status"]}
    told = {"phone": said["phone"], "role": said["role"], "person": said["person"]}
    told |= {"status_index": said["index"], "status": "active"}
    told |= {
        "expires_at": datetime.fromisoformat(said["expires"]),
        "generation_id": said["generation"],
        "intent_id": said["intent"],
    }
    return told | {"licence_id": leaf.subject["licence"], "grant_id": leaf.subject.get("grant"), "citizen": leaf.actor}


def _copy_seen(row: CopyRow) -> Values:
    return _columns(row) | {"person": person_mark(row.id, row.person)}


def _enquiry_told(leaf: Entry) -> Values:
    said = leaf.data
    if leaf.kind == "enquiry.returned":
        return {"status": "answered", "outcome": said["outcome"], "letter": said["letter"], "counts": said["counts"]}
    if leaf.kind == "enquiry.answered":
        return {"status": "answered", "outcome": said["outcome"], "letter": said["letter"], "answered_by": leaf.actor}
    told = {"peer": said["region"], "document_sha256": said["document"], "status": "open"}
    told |= {key: said[key] for key in ("matter", "identifier", "asked")}
    if leaf.kind == "enquiry.sent":
        return told | {"direction": "out", "asked_by": leaf.actor, "remark": said["remark"]}
    return told | {"direction": "in"}


def _enquiry_seen(row: EnquiryRow) -> Values:
    seen = _columns(row) | {"asked": sorted(row.particulars), "outcome": (row.answer or {}).get("outcome")}
    return seen | {"counts": (row.letter_verdict or {}).get("counts"), "remark": _digest(row.remark)}


def _receipt_told(leaf: Entry) -> Values:
    said = leaf.data
    if leaf.kind == "receipt.slip":
        return {"slip": said["code"]}
    told = {key: said[key] for key in ("decision", "matter", "channel")}
    return told | {"jws": said["receipt"], "presented_sha256": said["presented"], "account": leaf.actor, "slip": None}


def _receipt_seen(row: ReceiptRow) -> Values:
    return _columns(row) | {"jws": _digest(row.jws), "slip": _digest(row.slip)}


def _provisional_told(leaf: Entry) -> Values:
    if leaf.kind != "provisional.recorded":
        return {"status": leaf.kind.partition(".")[2]}
    said, subject = leaf.data, leaf.subject
    told = {"receipt_id": subject["receipt"], "supervisor": subject["supervisor"], "clerk": leaf.actor, "status": "waiting"}
    return told | {"reason": said["reason"], "bring": said["bring"], "until": datetime.fromisoformat(said["until"])}


def _provisional_seen(row: ProvisionalRow) -> Values:
    return _columns(row) | {"reason": _digest(row.reason), "bring": _digest(row.bring)}


def _columns(row: Any) -> dict[str, Any]:
    return {attribute.key: getattr(row, attribute.key) for attribute in sa.inspect(row).mapper.column_attrs}


def _digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


TABLES = (
    Kept(
        "impression",
        "用印记录",
        ImpressionRow,
        frozenset({"seal.applied", "licence.issued", "licence.changed", "licence.copied"}),
        _IMPRESSION_ENDS,
        _impression_told,
        _impression_seen,
    ),
    Kept(
        "seal",
        "印章",
        SealRow,
        frozenset({"seal.created"}),
        frozenset({"seal.suspended", "seal.in-force", "seal.revoked"}),
        _seal_told,
        _columns,
        lambda row: bool(row.status != "preparing"),
    ),
    Kept(
        "key",
        "密钥",
        KeyGenerationRow,
        frozenset({"key.staged"}),
        frozenset(_KEY_STATES),
        _key_told,
        _key_seen,
        lambda row: row.public_key is not None,
    ),
    Kept(
        "certificate",
        "证书",
        CertificateRow,
        frozenset({"certificate.issued", "certificate.imported"}),
        frozenset(_CERTIFICATE_STATES),
        _certificate_told,
        _certificate_seen,
        lambda row: bool(row.status != "issuing"),
    ),
    Kept(
        "account",
        "账户",
        AccountRow,
        frozenset({"people.created"}),
        frozenset({"people.changed", "people.roles-changed", "people.disabled", "people.active", "people.handed-over"}),
        _account_told,
        _columns,
        also=frozenset({"from", "to"}),
        beside=_account_beside,
    ),
    Kept(
        "application",
        "申请",
        ApplicationRow,
        frozenset({"application.submitted"}),
        frozenset({*_APPLICATION_STATES, "application.handed-over"}),
        _application_told,
        _application_seen,
    ),
    Kept(
        "licence",
        "证照",
        LicenceRow,
        frozenset({"licence.issued", "licence.changed"}),
        frozenset(),
        _licence_told,
        _columns,
    ),
    Kept(
        "annotated_copy",
        "加注件",
        AnnotatedCopyRow,
        frozenset({"licence.copied"}),
        frozenset({"licence.copy-withdrawn"}),
        _annotated_told,
        _annotated_seen,
    ),
    Kept(
        "grant",
        "使用授权",
        GrantRow,
        frozenset({"grant.given"}),
        frozenset({"grant.withdrawn"}),
        _grant_told,
        _grant_seen,
    ),
    Kept(
        "copy",
        "手机副本",
        CopyRow,
        frozenset({"copy.issued"}),
        frozenset({"copy.renewed", "copy.ended"}),
        _copy_told,
        _copy_seen,
    ),
    Kept(
        "enquiry",
        "协查",
        EnquiryRow,
        frozenset({"enquiry.sent", "enquiry.received"}),
        frozenset({"enquiry.returned", "enquiry.answered"}),
        _enquiry_told,
        _enquiry_seen,
    ),
    Kept(
        "receipt",
        "核验回执",
        ReceiptRow,
        frozenset({"receipt.issued"}),
        frozenset({"receipt.slip"}),
        _receipt_told,
        _receipt_seen,
    ),
    Kept(
        "provisional",
        "容缺受理",
        ProvisionalRow,
        frozenset({"provisional.recorded"}),
        frozenset({"provisional.confirmed", "provisional.refused", "provisional.fulfilled"}),
        _provisional_told,
        _provisional_seen,
    ),
)
"""Every table that is compared; their names are those by which leaves speak of its rows."""

BY_NAME = {kept.name: kept for kept in TABLES}
