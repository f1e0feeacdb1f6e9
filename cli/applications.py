"""``xinyin application …``: handled by one person (经办), signed off by another (签发, ``--as ACCOUNT``)."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.support import matter, opened
from cli.verify import read_file

app = typer.Typer(help="申请：提出、签发、退回 / applications: submit, sign off, refuse")
Id = Annotated[str, typer.Argument(metavar="APPLICATION", help="申请编号 / application ID")]


class Purpose(StrEnum):
    """What is applied for."""

    make_seal = "make-seal"
    use_seal = "use-seal"
    issue_licence = "issue-licence"


@app.command("submit")
def submit(
    purpose: Annotated[Purpose, typer.Option("--purpose", help="制章、用印或办证 / to make a seal, use one, issue a licence")],
    department: Annotated[str, typer.Option("--department", help="部门统一社会信用代码 / the deciding department's code")],
    seal: Annotated[str | None, typer.Option("--seal", help="要使用的印章 / the seal to use")] = None,
    document: Annotated[Path | None, typer.Option("--document", help="要盖章的文件 / the document to be sealed")] = None,
    name: Annotated[str | None, typer.Option("--name", help="要制作的印章名称 / name of the seal to make")] = None,
    owner: Annotated[str | None, typer.Option("--owner-uscc", help="印章所有者代码 / its owner's code")] = None,
) -> None:
    """提出申请 / submit an application."""
    digest = sha256(read_file(document)).hexdigest() if document else None
    facts = {key: value for key, value in (("name", name), ("owner_uscc", owner)) if value}
    with opened() as (node, actor):
        seal_id = node.seals.show(actor, seal)["id"] if seal else None
        made = node.seals.applications.submit(
            actor,
            purpose=purpose.value,
            department=department,
            matter=matter(),
            seal_id=seal_id,
            document_sha256=digest,
            facts=facts,
        )
        emit(plain(made))


@app.command("list")
def list_applications(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出申请 / list applications."""
    columns = (
        ("id", "编号", "ID"),
        ("purpose", "用途", "Purpose"),
        ("matter", "事项", "Matter"),
        ("status", "状态", "Status"),
    )
    with opened() as (node, actor):
        page = node.seals.applications.list(actor, limit=limit, cursor=cursor)
        emit_list(page.items, columns, next_cursor=page.next)


@app.command("show")
def show(application: Id) -> None:
    """查看申请 / show an application."""
    with opened() as (node, actor):
        emit(plain(node.seals.applications.show(actor, application)))


@app.command("sign-off")
def sign_off(application: Id) -> None:
    """签发（不得签发自己经办的申请）/ sign off, never one's own."""
    with opened() as (node, actor):
        emit(plain(node.seals.applications.sign_off(actor, application)))


@app.command("refuse")
def refuse(application: Id, reason: Annotated[str, typer.Option("--reason", help="事由 / why")]) -> None:
    """退回申请 / refuse."""
    with opened() as (node, actor):
        emit(plain(node.seals.applications.refuse(actor, application, reason=reason)))
