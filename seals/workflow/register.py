"""The register of use 用印登记: every use of a seal with its application: searched, paged, and as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from formats.dates import BEIJING
from formats.tables import cell
from seals.models import ApplicationDocumentRow, ApplicationRow, ImpressionRow, SealRow
from seals.ports import Actor
from seals.schemas import Page, no_such_seal, shown_time
from seals.workflow.directory import Directory, called
from seals.workflow.showing import belongs, masked

if TYPE_CHECKING:
    from seals.workflow.service import ApplicationService

COLUMNS = (
    ("created_at", "用印时间", "Sealed at"),
    ("seal_name", "印章", "Seal"),
    ("number", "文号", "Document number"),
    ("title", "标题", "Title"),
    ("document_name", "文件", "Document"),
    ("matter_name", "事项", "Matter"),
    ("copies", "份数", "Copies"),
    ("applicant", "申请人", "Applicant"),
    ("handler", "经办人", "Handled by"),
    ("signer_off", "签发人", "Signed off by"),
    ("sealed_by", "用印人", "Sealed by"),
    ("rule_words", "依据规则", "Rule"),
    ("status", "状态", "State"),
    ("id", "用印编号", "Impression"),
    ("document_sha256", "文件摘要", "SHA-256"),
)
"""Columns of the export: member of a row, heading in Chinese and English."""

_STATUS_ZH = {"valid": "有效", "voided": "已作废", "replaced": "已被替换"}
_BATCH = 500


@dataclass(frozen=True)
class Asked:
    """What the register is narrowed to."""

    seal_id: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    matter: str | None = None
    status: str | None = None


def page(service: ApplicationService, actor: Actor, asked: Asked, limit: int, cursor: str | None) -> Page[dict[str, Any]]:
    """Newest first. :raises NoSuchSeal: none that the caller may know of"""
    with service.db.read() as session:
        rows, following = _read(service, session, actor, asked, limit, cursor)
        return Page(_shown(service, session, actor, rows), following)


def lines(service: ApplicationService, actor: Actor, asked: Asked, lang: str) -> Iterator[str]:
    """The register as CSV (RFC 4180) with a byte order mark, by which spreadsheets know that it is UTF-8; a batch at a time.

    What can be wrong with the question shows with the first piece, before anything was sent.
    """
    english = lang == "en"
    head = "\ufeff" + _csv([[column[2] if english else column[1] for column in COLUMNS]])
    cursor: str | None = None
    while True:
        with service.db.read() as session:
            rows, cursor = _read(service, session, actor, asked, _BATCH, cursor)
            shown = _shown(service, session, actor, rows)
        yield head + _csv([_cells(row, english) for row in shown])
        head = ""
        if cursor is None:
            return


def _read(
    service: ApplicationService, session: Session, actor: Actor, asked: Asked, limit: int, cursor: str | None
) -> tuple[Sequence[Any], str | None]:
    statement = _statement(service, session, actor, asked)
    if cursor:
        statement = statement.where(ImpressionRow.id < cursor)
    rows = session.execute(statement.limit(limit + 1)).all()
    following = rows[limit - 1].ImpressionRow.id if len(rows) > limit else None
    seen: dict[tuple[str, str], bool] = {}
    kept = []
    for row in rows[:limit]:
        seal, matter = row.SealRow, row.ImpressionRow.matter
        if (seal.id, matter) not in seen:  # asked once a seal and matter, not once a use
            seen[seal.id, matter] = _allows(service, actor, "impression.show", seal, matter)
        if seen[seal.id, matter]:
            kept.append(row)
    return kept, following


def _allows(service: ApplicationService, actor: Actor, action: str, seal: SealRow, matter: str = "default") -> bool:
    facts = {"id": seal.id, "region": seal.region, "department": seal.owner_uscc, "sample": seal.sample}
    return service.authoriser.decide(actor, action, facts, {"matter": matter}).allowed


def _statement(service: ApplicationService, session: Session, actor: Actor, asked: Asked) -> sa.Select[Any]:
    use, application, document = ImpressionRow, ApplicationRow, ApplicationDocumentRow
    columns: Any = (use, SealRow, application, document.name.label("document_name"))
    statement: sa.Select[Any] = (
        sa.select(*columns)
        .join(SealRow, SealRow.id == use.seal_id)
        .outerjoin(application, application.id == use.application_id)
        .outerjoin(document, sa.and_(document.application_id == use.application_id, document.impression_id == use.id))
        .where(use.region == service.region)
        .order_by(use.id.desc())
    )
    if actor.kind != "local-operator" and not {"auditor", "administrator"} & set(actor.every_role):
        statement = statement.where(SealRow.owner_uscc.in_(sorted(actor.reach)))
    if asked.seal_id:
        seal = session.scalars(
            sa.select(SealRow).where(sa.or_(SealRow.id == asked.seal_id, SealRow.es_id == asked.seal_id))
        ).one_or_none()
        if seal is None or not _allows(service, actor, "seal.show", seal):
            raise no_such_seal()
        statement = statement.where(use.seal_id == seal.id)
    if asked.matter:
        statement = statement.where(use.matter == asked.matter)
    if asked.status:
        statement = statement.where(use.status == asked.status)
    if asked.since is not None:
        statement = statement.where(use.created_at >= asked.since)
    if asked.until is not None:
        statement = statement.where(use.created_at < asked.until)
    if asked.q and asked.q.strip():
        statement = statement.where(_found(actor, asked.q.strip()))
    return statement


def _found(actor: Actor, text: str) -> sa.ColumnElement[bool]:
    """A word of the title, of the number, of the file's name, of the applicant; or an identifier or digest in full.

    Who only sees a masked name does not search the whole one: what is found would spell it out, letter by letter.
    """
    use, application = ImpressionRow, ApplicationRow
    # The applicant is a JSON column: its text holds what is beyond ASCII as it is, or escaped, as the database keeps it.
    applicant = sa.cast(application.applicant, sa.Text)
    parts = [
        column.icontains(text, autoescape=True)
        for column in (application.title, application.number, ApplicationDocumentRow.name)
    ]
    spelt = [applicant.icontains(one, autoescape=True) for one in (text, json.dumps(text)[1:-1])]
    own = sa.true() if actor.kind == "local-operator" else SealRow.owner_uscc.in_(sorted(actor.reach))
    parts.append(sa.and_(own, sa.or_(*spelt)))
    digest = text.lower()
    return sa.or_(*parts, use.id == text, use.application_id == text, use.document_sha256 == digest, use.input_sha256 == digest)


def _shown(service: ApplicationService, session: Session, actor: Actor, rows: Sequence[Any]) -> list[dict[str, Any]]:
    names = Directory(session, service.region)
    names.learn(row.ImpressionRow.account for row in rows)
    names.learn(
        who for row in rows if row.ApplicationRow for who in (row.ApplicationRow.handler, row.ApplicationRow.signer_off)
    )
    shown = [_row(service, names, row.ImpressionRow, row.SealRow, row.ApplicationRow, row.document_name) for row in rows]
    own = [belongs(actor, row.SealRow.owner_uscc) for row in rows]
    return [one if known else {**one, "applicant": masked(one["applicant"])} for one, known in zip(shown, own, strict=True)]


def _row(
    service: ApplicationService,
    names: Directory,
    use: ImpressionRow,
    seal: SealRow,
    application: ApplicationRow | None,
    document: str | None,
) -> dict[str, Any]:
    matter = service.matters.of(use.matter)
    rule = service.authoriser.rules.get(use.rule)
    handler, signer_off = (application.handler, application.signer_off) if application else (None, None)
    return {
        "id": use.id,
        "status": use.status,
        "created_at": shown_time(use.created_at),
        "seal_id": seal.id,
        "seal_name": seal.name,
        "application": use.application_id,
        "title": application.title if application else None,
        "number": application.number if application else None,
        "copies": application.copies if application else None,
        "applicant": (application.applicant or {}).get("name") if application else None,
        "document_name": document,
        "matter": use.matter,
        "matter_name": matter.en,
        "matter_name_zh": matter.zh,
        "handler": names.person(handler),
        "handler_id": handler,
        "signer_off": _signer(service, names, signer_off) if signer_off else None,
        "signer_off_id": signer_off,
        "signer_off_rule": _signed_by_rule(service, signer_off),
        "sealed_by": names.person(use.account),
        "sealed_by_id": use.account,
        "rule": use.rule,
        "rule_words": rule.en if rule else use.rule,
        "rule_words_zh": rule.zh if rule else use.rule,
        "replaced_by": use.replaced_by,
        "reason": use.reason,
        "document_sha256": use.document_sha256,
        "input_sha256": use.input_sha256,
    }


def _signer(service: ApplicationService, names: Directory, signer_off: str) -> str | None:
    """A person's name, or the words of the rule that signed off 秒批."""
    rule = _signed_by_rule(service, signer_off)
    return rule["zh"] if rule else names.person(signer_off)


def _signed_by_rule(service: ApplicationService, signer_off: str | None) -> dict[str, str] | None:
    """The words ``{"en", "zh"}`` of the rule that signed off 秒批; None where a person did."""
    if not (signer_off or "").startswith("rule:"):
        return None
    rule = service.authoriser.rules.get(str(signer_off).removeprefix("rule:"))
    return {"en": rule.en, "zh": rule.zh} if rule else None


def people_of(row: dict[str, Any], *, english: bool) -> dict[str, str]:
    """Who handled, signed off and sealed, as pages and tables print it in a language."""
    said = {who: called(row[f"{who}_id"], row[who], english=english) for who in ("handler", "signer_off", "sealed_by")}
    if row["signer_off_rule"]:
        said["signer_off"] = row["signer_off_rule"]["en" if english else "zh"]
    return said


def _cells(row: dict[str, Any], english: bool) -> list[str]:
    flat = {
        **row,
        **people_of(row, english=english),
        "matter_name": row["matter_name"] if english else row["matter_name_zh"],
        "created_at": datetime.fromisoformat(row["created_at"]).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
        "rule_words": row["rule_words"] if english else row["rule_words_zh"],
        "status": row["status"] if english else _STATUS_ZH[row["status"]],
    }
    return [cell(flat[name]) for name, _, _ in COLUMNS]


def _csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()
