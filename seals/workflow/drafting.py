"""From what was handed in to a draft that fits the register of seals, the departments and the matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from policies.matters import Matter, Matters
from seals.models import ApplicationDocumentRow, ApplicationRow, ApplicationStepRow, ImpressionRow, SealRow
from seals.schemas import BadApplication, ImpressionStateRefused, SealNotInForce, no_such_seal
from seals.workflow.directory import Directory
from seals.workflow.drafts import Draft, NewDocument, check_words, checked, kept_words, only_digest
from store.db import Database

MEMBERS = ("matter", "seal_id", "document_sha256", "number", "copies", "title", "facts", "countersigners", "replaces")
"""What an amendment may change, besides the documents."""

FACTS: dict[str, type] = {"complete": bool, "register_match": bool, "risk": str, "kind": str, "amount": int, "days": int}
"""Facts of an application that rules may speak of (``Facts`` in policies/rules/schema.cedarschema)."""


@dataclass(frozen=True)
class Wish:
    """An application as it was handed in; ``kept`` are documents of the round before that stay."""

    purpose: str
    department: str
    matter: str
    seal_id: str | None
    documents: tuple[NewDocument, ...]
    document_sha256: str | None
    number: str | None
    copies: int
    title: str
    facts: Mapping[str, Any]
    countersigners: tuple[str, ...]
    replaces: str | None
    kept: tuple[dict[str, Any], ...] = field(default=())


class Drafting:
    """Checks wishes against what there is."""

    def __init__(self, db: Database, region: str, matters: Matters, now: Callable[[], datetime]) -> None:
        self._db = db
        self._region = region
        self._matters = matters
        self._now = now

    def code(self, department: str) -> str:
        """The social credit code of a department that may be given by its identifier."""
        with self._db.read() as session:
            return Directory(session, self._region).code(department)

    def checked(self, wish: Wish) -> Draft:
        """:raises BadApplication: something that cannot be; :raises NoSuchSeal: not one of the department"""
        matter = self._matters.of(wish.matter)
        with self._db.read() as session:
            directory = Directory(session, self._region)
            department = directory.code(wish.department)
            seal = self._seal(session, wish.seal_id, department) if wish.purpose == "use-seal" and wish.seal_id else None
            others = _countersigners(matter, wish.countersigners, department, directory)
            self._check_replaced(session, wish.replaces, seal)
        documents = [checked(one, seal.owner_name if seal is not None else "") for one in wish.documents]
        documents = documents or list(wish.kept)
        if wish.document_sha256 is not None and wish.document_sha256 not in [one["sha256"] for one in documents]:
            if documents:
                raise BadApplication(
                    "The digest is not that of the document that was handed in.", "摘要与所提交的文件不符；请核对。"
                )
            documents = [only_digest(wish.document_sha256)]
        title = wish.title.strip() or (documents[0]["name"].removesuffix(".pdf") if documents else "")
        draft = Draft(
            purpose=wish.purpose,
            department=department,
            matter=matter,
            title=title,
            number=(wish.number or "").strip() or None,
            copies=wish.copies,
            seal_id=seal.id if seal is not None else wish.seal_id,
            countersigners=others,
            facts=dict(wish.facts),
            replaces=wish.replaces,
            documents=tuple(documents),
        )
        check_words(draft)
        return draft

    def changed(
        self,
        row: ApplicationRow,
        documents: Sequence[ApplicationDocumentRow],
        steps: Sequence[ApplicationStepRow],
        new: Sequence[NewDocument] | None,
        changes: Mapping[str, Any],
    ) -> Wish:
        """The application as it is, with changes.

        :raises BadApplication: something that an amendment does not change
        """
        unknown = sorted(set(changes) - set(MEMBERS))
        if unknown:
            raise BadApplication(
                f"An amendment changes {', '.join(MEMBERS)} or the documents, not {', '.join(unknown)}.",
                "补正只能修改事项、印章、文件、文号、份数、标题、会签部门等内容。",
            )
        kept = [{name: getattr(one, name) for name in _KEPT} for one in documents]
        same = {name: getattr(row, name) for name in MEMBERS if name not in ("document_sha256", "countersigners")}
        same["countersigners"] = tuple(step.department for step in steps if step.step == "countersign")
        wanted = same | dict(changes)
        digest = wanted.pop("document_sha256", None)
        if new is not None or digest is not None:
            kept = []
        wanted["countersigners"] = tuple(wanted["countersigners"])
        return Wish(
            purpose=row.purpose,
            department=row.department,
            documents=tuple(new or ()),
            document_sha256=digest,
            kept=tuple(kept),
            **wanted,
        )

    def applicant(self, given: Mapping[str, str] | None) -> dict[str, Any] | None:
        """:raises BadApplication: more than a name and a way to reach them"""
        if not given or not any(given.values()):
            return None
        if set(given) - {"name", "contact"} or any(len(str(value)) > 200 for value in given.values()):
            raise BadApplication(
                "An applicant has a name and a contact, up to 200 characters each.",
                "申请人信息为姓名（名称）与联系方式，各 200 字以内。",
            )
        return {key: kept for key, value in given.items() if (kept := kept_words(str(value), 200))}

    def instant_context(
        self, row: ApplicationRow, documents: Sequence[ApplicationDocumentRow], context: Mapping[str, Any], rule: str
    ) -> dict[str, Any]:
        """What a rule that signs off by itself is told: of the facts, those that the schema knows, of the right kind."""
        facts = {key: row.facts[key] for key, kind in FACTS.items() if type(row.facts.get(key)) is kind}
        whole = bool(documents) and all(one.size is not None for one in documents)
        told = {"instant": rule, "facts": facts, "documents": len(documents), "copies": row.copies, "bound": whole}
        return {**context, **told}

    def _seal(self, session: Session, seal_id: str, department: str) -> SealRow:
        found = session.scalars(
            sa.select(SealRow).where(sa.or_(SealRow.id == seal_id, SealRow.es_id == seal_id), SealRow.region == self._region)
        ).one_or_none()
        if found is None or found.owner_uscc != department:
            raise no_such_seal()
        if found.status != "in-force" or self._now() > found.valid_to:
            raise SealNotInForce(
                f"The seal “{found.name}” is not in force now; ask its keeper, or choose another.",
                f"印章“{found.name}”当前不可使用；请联系印章管理员或另选印章。",
                seal=found.id,
                status=found.status,
            )
        return found

    def _check_replaced(self, session: Session, impression_id: str | None, seal: SealRow | None) -> None:
        if impression_id is None:
            return
        found = session.get(ImpressionRow, impression_id)
        owner = session.get(SealRow, found.seal_id) if found is not None else None
        if found is None or owner is None or seal is None or owner.owner_uscc != seal.owner_uscc or found.status != "valid":
            raise ImpressionStateRefused(
                "What is to be replaced must be a sealed document of this department that is valid.",
                "被替换的须为本部门有效的用印文件。",
            )


_KEPT = ("name", "sha256", "size", "placement", "format", "suite", "level")


def _countersigners(matter: Matter, named: Sequence[str], own: str, directory: Directory) -> tuple[str, ...]:
    """Which departments countersign, by social credit code, in order.

    :raises BadApplication: none named where some must be, one that there is not, or the own one
    """
    if matter.countersigners is not None:
        return tuple(directory.code(one) for one in matter.countersigners)
    known, found = directory.codes(), tuple(dict.fromkeys(directory.code(one) for one in named))
    if not found or own in found or any(one not in known for one in found):
        raise BadApplication(
            "Name the departments that countersign: at least one, known here, and not the own one.",
            "请指定会签部门：至少一个，须为本系统已有部门，且不含本部门。",
        )
    return found
