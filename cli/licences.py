"""``xinyin licence …``."""

from __future__ import annotations

import json
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.seals import Application, Key
from cli.state import STATE
from cli.support import can_write, matter, opened, write_out
from cli.verify import parse_time, read_file
from crypto.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="电子证照：签发、查看、暂扣、撤销 / licences: issue, show, suspend, revoke")
Id = Annotated[str, typer.Argument(metavar="LICENCE", help="证照 ID 或证照标识 / licence ID or identifier")]


class RevocationKind(StrEnum):
    """The four ways in which a licence ends before its time."""

    annul = "撤销"
    withdraw = "撤回"
    forfeit = "吊销"
    cancel = "注销"


@app.command("types")
def types() -> None:
    """可签发的证照类型 / the types that can be issued."""
    with opened() as (node, _):
        emit_list(node.licences.types(), (("type", "类型", "Type"), ("name", "名称", "Name"), ("code", "代码", "Code")))


@app.command("issue")
def issue(
    type: Annotated[str, typer.Option("--type", help="证照类型，见 licence types / type")],
    data: Annotated[Path, typer.Option("--data", help="证照内容（JSON）/ the content")],
    out: Annotated[Path, typer.Option("--out", help="写到 / write the PDF here")],
    seal: Annotated[str | None, typer.Option("--seal", help="颁发机构的印章（可省略）/ the authority's seal")] = None,
    application: Application = None,
    idempotency_key: Key = None,
) -> None:
    """签发证照 / issue a licence."""
    content = _content(data)
    can_write(out)
    with opened() as (node, actor):
        licence, pdf = node.licences.issue(
            actor,
            type,
            content,
            seal_id=seal,
            matter=matter(),
            application=application,
            idempotency_key=idempotency_key,
        )
        node.renew_trust()  # the issuer's key for codes is on the list from its first licence on
        write_out(out, pdf)
        result = {**plain(licence), "out": str(out)}
    _say_issued(result, STATE.pick("已签发", "Issued"))


@app.command("change")
def change(
    licence: Id,
    data: Annotated[Path, typer.Option("--data", help="变更后的全部内容（JSON）/ the whole changed content")],
    out: Annotated[Path, typer.Option("--out", help="写到 / write the PDF here")],
    application: Application = None,
    idempotency_key: Key = None,
) -> None:
    """变更：签发新版本，旧版本失效 / change: the next version replaces the old one."""
    content = _content(data)
    can_write(out)
    with opened() as (node, actor):
        changed, pdf = node.licences.change(
            actor, licence, content, matter=matter(), application=application, idempotency_key=idempotency_key
        )
        write_out(out, pdf)
        result = {**plain(changed), "out": str(out)}
    _say_issued(result, STATE.pick("已变更", "Changed"))


def _content(path: Path) -> dict[str, Any]:
    """:raises BadInput: not one JSON object"""
    try:
        content = json.loads(read_file(path, limit=1 << 20))
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} is no JSON: {exc}.", f"{path} 不是 JSON：{exc}。") from exc
    if not isinstance(content, dict):
        raise BadInput(f"{path} must hold one JSON object.", f"{path} 应当是一个 JSON 对象。")
    return content


def _say_issued(result: dict[str, Any], done: str) -> None:
    def human(console: Console) -> None:
        console.print(f"[bold green]✔[/] {done}: {result['out']}")
        console.print(f"  [dim]{result.get('identifier', result['id'])}[/]")

    emit(result, human)


@app.command("list")
def list_licences(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出证照 / list licences."""
    with opened() as (node, actor):
        page = node.licences.list(actor, limit=limit, cursor=cursor)
        columns = (
            ("id", "编号", "ID"),
            ("identifier", "证照标识", "Identifier"),
            ("holder", "持证主体", "Holder"),
            ("status", "状态", "Status"),
        )
        emit_list(page.items, columns, next_cursor=page.next)


@app.command("show")
def show(
    licence: Id, at: Annotated[str | None, typer.Option("--at", help="此时刻的状态 / state as of this time")] = None
) -> None:
    """查看证照及其状态 / show a licence and its state."""
    with opened() as (node, actor):
        emit(plain(node.licences.show(actor, licence, at=parse_time(at) if at else None)))


@app.command("suspend")
def suspend(licence: Id, basis: Annotated[str, typer.Option("--basis", help="依据 / basis")]) -> None:
    """暂扣 / suspend."""
    with opened() as (node, actor):
        emit(plain(node.licences.suspend(actor, licence, basis=basis)))


@app.command("resume")
def resume(licence: Id, basis: Annotated[str, typer.Option("--basis", help="依据 / basis")]) -> None:
    """发还（恢复有效）/ resume."""
    with opened() as (node, actor):
        emit(plain(node.licences.resume(actor, licence, basis=basis)))


@app.command("revoke")
def revoke(
    licence: Id,
    kind: Annotated[RevocationKind, typer.Option("--kind", help="撤销 可溯及既往，其余向后生效 / 撤销 may act from the start")],
    basis: Annotated[str, typer.Option("--basis", help="依据 / basis")],
    effective: Annotated[
        str | None, typer.Option("--effective", help="生效日期（默认今天）/ effective date (default: now)")
    ] = None,
) -> None:
    """撤销、撤回、吊销、注销 / end a licence."""
    with opened() as (node, actor):
        emit(plain(node.licences.revoke(actor, licence, kind=kind.value, effective=_day(effective), basis=basis)))


def _day(value: str | None) -> date | None:
    """``--effective``: a day as the law counts it here, or a moment."""
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return parse_time(value)


@app.command("copies")
def copies(licence: Id) -> None:
    """手机上的副本 / the copies on phones, of every version."""
    with opened() as (node, actor):
        found = node.copies.inspect(actor, licence)
    columns = (
        ("id", "副本", "Copy"),
        ("role_zh", "身份", "Role"),
        ("bearer", "持有人", "Bearer"),
        ("state_zh", "状态", "State"),
        ("issued_at", "下载时间", "Downloaded"),
        ("expires_at", "有效期至", "Until"),
    )
    emit_list(found, columns)


@app.command("grants")
def grants(licence: Id) -> None:
    """使用授权 / who is authorised to use it."""
    with opened() as (node, actor):
        found = node.grants.inspect(actor, licence)
    columns = (
        ("id", "授权", "Authorisation"),
        ("kind_zh", "类别", "Kind"),
        ("name", "被授权人", "To"),
        ("status_zh", "状态", "State"),
        ("until", "有效期至", "Until"),
        ("given_by", "授权人", "From"),
    )
    emit_list(found, columns)


@app.command("copy")
def copy(
    licence: Id,
    purpose: Annotated[str, typer.Option("--purpose", help="用途，印在纸面上，至多 30 字 / what it is for, as printed")],
    until: Annotated[str, typer.Option("--until", help="最后可用之日 YYYY-MM-DD / the last day of use")],
    out: Annotated[Path, typer.Option("--out", help="写到 / write the PDF here")],
    idempotency_key: Key = None,
) -> None:
    """制作加注件：限一项用途的复制件（事项用 --matter）/ a copy for one purpose; its matter by --matter."""
    can_write(out)
    last = _day(until)
    with opened() as (node, actor):
        made, pdf = node.annotated.make(
            actor,
            licence,
            purpose=purpose,
            until=last.date() if isinstance(last, datetime) else last or date.today(),
            matter=STATE.matter,
            idempotency_key=idempotency_key,
        )
        write_out(out, pdf)
        result = {**plain(made), "out": str(out)}

    def human(console: Console) -> None:
        console.print(f"[bold green]✔[/] {STATE.pick('已制作加注件', 'Copy made')}: {out}")
        console.print(f"  {STATE.pick('查验码', 'Check code')} [bold]{made['check_code']}[/]  [dim]{made['id']}[/]")

    emit(result, human)


@app.command("printed")
def printed(licence: Id) -> None:
    """已制作的加注件 / the copies for one purpose that were made."""
    with opened() as (node, actor):
        found = node.annotated.of_licence(actor, licence)
    columns = (
        ("id", "加注件", "Copy"),
        ("purpose", "用途", "Purpose"),
        ("until", "有效期至", "Until"),
        ("status_zh", "状态", "State"),
        ("maker", "制作", "Made by"),
    )
    emit_list(found, columns)


@app.command("copy-withdraw")
def copy_withdraw(copy: Annotated[str, typer.Argument(metavar="COPY", help="加注件编号 / identifier of the copy")]) -> None:
    """撤回加注件，立即失效 / withdraw a copy for one purpose."""
    with opened() as (node, actor):
        emit(plain(node.annotated.withdraw(actor, copy)))
