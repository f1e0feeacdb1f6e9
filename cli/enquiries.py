"""``xinyin enquiry …``: ask the region that issued a licence, and answer what other regions ask."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened
from crypto.errors import Usage

app = typer.Typer(help="协查：向签发地区核实证照，答复外地区的协查 / enquiries between regions")
Id = Annotated[str, typer.Argument(metavar="ENQUIRY", help="协查编号 / enquiry ID")]


@app.command("send")
def send(
    region: Annotated[str, typer.Option("--region", help="签发地区的行政区划代码 / region that issued it")],
    identifier: Annotated[str | None, typer.Option("--identifier", help="证照标识 / licence identifier")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="所出示的电子文件，仅发送其摘要 / the file; its digest is sent")
    ] = None,
    particulars: Annotated[
        list[str] | None,
        typer.Option("--agrees", metavar="NAME=VALUE", help="核对某项是否一致，如 holder=…（仅发送加盐摘要）/ does this agree"),
    ] = None,
    remark: Annotated[str | None, typer.Option("--remark", help="附言 / for whoever answers")] = None,
) -> None:
    """发起协查（--matter 指明事项）/ ask; only yes or no comes back, under seal."""
    from cli.verify import read_file
    from policies.limits import DOCUMENT_BYTES

    digest = hashlib.sha256(read_file(file, limit=DOCUMENT_BYTES)).hexdigest() if file else None
    with opened() as (node, actor):
        made = node.enquiries.send(
            actor,
            region=region,
            identifier=identifier,
            document_sha256=digest,
            matter=STATE.matter,
            particulars=_pairs(particulars),
            remark=remark,
        )
        node.peer_mail.work()  # a node without a worker sends at once; one with a worker has nothing left to do
        emit(node.enquiries.show(actor, made["id"]))


@app.command("list")
def list_enquiries(
    direction: Annotated[str | None, typer.Option("--direction", help="out 本方发起，in 外地区发来 / ours or theirs")] = None,
    status: Annotated[str | None, typer.Option("--status", help="open, answered")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出协查 / list enquiries, newest first."""
    columns = (
        ("id", "编号", "ID"),
        ("direction", "方向", "Direction"),
        ("region", "地区", "Region"),
        ("status", "状态", "Status"),
        ("identifier", "证照标识", "Identifier"),
        ("due_at", "答复期限", "Due"),
    )
    with opened() as (node, actor):
        page = node.enquiries.list(actor, direction=direction, status=status, limit=limit, cursor=cursor)
        emit_list(page.items, columns, next_cursor=page.next)


@app.command("show")
def show(
    enquiry: Id,
    letter: Annotated[Path | None, typer.Option("--letter", help="将复函写入此文件 / write the sealed letter here")] = None,
) -> None:
    """查看协查及答复 / one enquiry with its answer."""
    with opened() as (node, actor):
        found = node.enquiries.show(actor, enquiry)
        if letter is not None:
            letter.write_bytes(node.enquiries.letter(actor, enquiry))
            found["letter_file"] = str(letter)
        emit(found)


@app.command("answer")
def answer(
    enquiry: Id,
    remark: Annotated[str | None, typer.Option("--remark", help="说明，不予答复时必填 / for whoever asked")] = None,
    decline: Annotated[bool, typer.Option("--decline", help="不予答复 / give no answer")] = False,
    seal: Annotated[str | None, typer.Option("--seal", help="答复所用印章 / the seal for the letter")] = None,
) -> None:
    """按登记信息答复并用印 / answer as the register has it, under seal."""
    with opened() as (node, actor):
        found = node.enquiries.answer(actor, enquiry, remark=remark, declined=decline, seal_id=seal)
        node.peer_mail.work()
        emit(node.enquiries.show(actor, found["id"]))


@app.command("work")
def work() -> None:
    """按规则答复并收发消息一轮（worker 平时自动处理）/ answer by rule and bring messages once; the worker does it by itself."""
    with opened() as (node, _):
        emit({"answered": node.enquiries.work(), "delivered": node.peer_mail.work()})


def _pairs(given: list[str] | None) -> dict[str, Any]:
    """``NAME=VALUE`` as particulars. :raises Usage: another form"""
    found = {}
    for text in given or []:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise Usage(f"“{text}” is no particular; write NAME=VALUE.", f"“{text}”不是核对项；请写成 名称=值。")
        found[name] = value
    return found
