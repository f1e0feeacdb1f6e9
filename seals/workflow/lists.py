"""Lists of applications: what the caller may see, what waits for them, by search."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from seals.models import ApplicationRow, ApplicationStepRow
from seals.ports import Actor
from seals.schemas import BadApplication, Page
from seals.workflow.showing import Showing, for_reader
from seals.workflow.states import APPROVING, ROLES, STATUSES

if TYPE_CHECKING:
    from seals.workflow.service import ApplicationService

_MOST_READ = 2_000
"""Rows looked at for one page; where most of them are not for the caller, the page is short and the next one goes on."""


@dataclass(frozen=True)
class Wanted:
    """What a list is narrowed to."""

    status: str | None = None
    todo: bool = False
    mine: bool = False
    done: bool = False
    matter: str | None = None
    department: str | None = None
    seal_id: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def page(service: ApplicationService, actor: Actor, wanted: Wanted, limit: int, cursor: str | None) -> Page[dict[str, Any]]:
    """:raises BadApplication: a state that there is not"""
    if wanted.status is not None and wanted.status not in STATUSES:
        raise BadApplication(
            f"An application's state is one of {', '.join(STATUSES)}.", "申请状态参数无效；请从列出的状态中选择。"
        )
    sealers = {role for matter in service.matters.all() for role in matter.sealers}
    statement = _statement(service.region, actor, wanted, sealers)
    found: list[ApplicationRow] = []
    read = 0
    with service.db.read() as session:
        while len(found) <= limit and read < _MOST_READ:
            more = statement.where(ApplicationRow.id < cursor) if cursor else statement
            batch: Sequence[ApplicationRow] = session.scalars(more.limit(limit + 1)).all()
            read += len(batch)
            found += _fitting(service, session, actor, batch, todo=wanted.todo)
            if len(batch) <= limit:
                cursor = None
                break
            cursor = batch[-1].id
        if len(found) > limit:
            cursor = found[limit - 1].id
        showing = Showing(session, found[:limit], service.matters, service.region)
        return Page([for_reader(showing.shown(row), actor) for row in found[:limit]], cursor)


def _statement(region: str, actor: Actor, wanted: Wanted, sealers: Collection[str]) -> sa.Select[Any]:
    table = ApplicationRow
    statement = sa.select(table).where(table.region == region).order_by(table.id.desc())
    if actor.kind != "local-operator" and "auditor" not in actor.roles:
        statement = statement.where(_of_departments(actor))
    if wanted.todo:
        statement = statement.where(_may_wait_for(actor, sealers))
    if wanted.done:
        statement = statement.where(table.status.not_in(["submitted", "returned", "signed-off", "sealed"]))
    if wanted.mine:
        statement = statement.where(table.handler == actor.id)
    for column, value in (
        (table.status, wanted.status),
        (table.matter, wanted.matter),
        (table.department, wanted.department),
        (table.seal_id, wanted.seal_id),
    ):
        if value:
            statement = statement.where(column == value)
    if wanted.q:
        # Everything that a clerk has in hand: a word of the title, a number, an identifier, a tracking code.
        text = wanted.q.strip()
        parts = [table.title.icontains(text, autoescape=True), table.number.icontains(text, autoescape=True)]
        statement = statement.where(sa.or_(*parts, table.id == text, table.document_sha256 == text.lower()))
    if wanted.since is not None:
        statement = statement.where(table.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(table.created_at < wanted.until)
    return statement


def _may_wait_for(actor: Actor, sealers: Collection[str]) -> sa.ColumnElement[bool]:
    """At a step that the actor's roles could take, or returned to the actor; each is looked at again, step by step.

    :param sealers: roles that may seal in some matter
    """
    roles = {**ROLES, "seal": sealers}
    mine = [name for name, fitting in roles.items() if actor.every_role.intersection(fitting)]
    step = ApplicationStepRow
    waiting = (step.state == "current", step.step.in_(mine), step.department.in_(sorted(actor.reach)))
    returned = sa.and_(ApplicationRow.handler == actor.id, ApplicationRow.status == "returned")
    return sa.or_(ApplicationRow.id.in_(sa.select(step.application_id).where(*waiting)), returned)


def _of_departments(actor: Actor) -> sa.ColumnElement[bool]:
    """Put to the caller's departments, or to be countersigned by them. The rules decide again, row by row."""
    own = sorted(actor.reach)
    step = ApplicationStepRow
    countersigned = sa.select(step.application_id).where(step.step == "countersign", step.department.in_(own))
    return sa.or_(ApplicationRow.department.in_(own), ApplicationRow.id.in_(countersigned))


def _fitting(
    service: ApplicationService, session: Session, actor: Actor, rows: Sequence[ApplicationRow], *, todo: bool
) -> list[ApplicationRow]:
    steps: dict[str, list[ApplicationStepRow]] = {row.id: [] for row in rows}
    table = ApplicationStepRow
    for step in session.scalars(sa.select(table).where(table.application_id.in_(list(steps))).order_by(table.n)):
        steps[step.application_id].append(step)
    fitting = []
    for row in rows:
        present = [step for step in steps[row.id] if step.round == row.round]
        if service.sees(actor, row, present) and (not todo or _waits_for(actor, row, present)):
            fitting.append(row)
    return fitting


def _waits_for(actor: Actor, row: ApplicationRow, steps: Sequence[ApplicationStepRow]) -> bool:
    """Whether a current step is this person's to take."""
    for step in steps:
        if step.state != "current":
            continue
        if step.step == "handle" and row.handler == actor.id:
            return True
        barred = step.step in APPROVING and actor.id in row.handlers
        if step.department in actor.reach and actor.every_role.intersection(step.roles) and not barred:
            return True
    return False
