"""``xinyin audit …``: is the record whole, where does a document come from, prove and export."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened, write_out
from cli.verify import read_file
from crypto.errors import NotFound, Usage
from formats.dates import BEIJING

if TYPE_CHECKING:
    from rich.console import Console

    from ceremonies.node import Node
    from formats.auditlog import LogReport

app = typer.Typer(help="审计：核验日志、追溯文件、证明、导出 / audit: verify the log, trace a document, prove, export")


@app.command("verify")
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="导出或证明文件；不给则核验本节点 / export or proof")
    ] = None,
    trust: Annotated[
        list[Path] | None, typer.Option("--trust", help="审计密钥（PEM、DER）/ keys of the log's checkpoints")
    ] = None,
) -> int:
    """核验日志完整，并与各登记簿核对 / recompute the whole log and hold the registers against it.

    退出码 / exit status: 0 完整 whole, 1 有问题 something is wrong.
    """
    from formats.auditlog import load_keys, verify_stream

    given = [key for path in trust or [] for key in load_keys(read_file(path, limit=1 << 20))]
    if file is not None:
        text = read_file(file).decode("utf-8", "replace")
        report = verify_stream(io.StringIO(text), given or _own_keys())
    else:
        with opened() as (node, actor):
            node.authorise(actor, "audit.verify")
            report = node.verify_log(given or None)
    _print(report)
    return 0 if report.ok else 1


def account_id(node: Node, named: str) -> str:
    """The identifier of an account by name or identifier; what is no account (``local-operator``) stays as it is."""
    try:
        return node.accounts.get(named).id
    except NotFound:
        return named


def day(text: str) -> datetime:
    """The beginning of a day in Beijing. :raises Usage: no day of the form 2026-11-22"""
    try:
        return datetime.combine(date.fromisoformat(text), time(), BEIJING)
    except ValueError as exc:
        raise Usage(f"“{text}” is no day; write it as 2026-11-22.", f"“{text}”不是日期；请写成 2026-11-22。") from exc


def _own_keys() -> list[Any]:
    """The audit keys of the node at hand, for a file of its own.

    :raises Usage: there is no node, so the keys must be named
    """
    if not (STATE.home / "node.toml").is_file():
        raise Usage("Name the keys of the log with --trust KEY.pem.", "请用 --trust 指定日志密钥（PEM）。")
    with opened() as (node, _):
        return node.audit_keys()


def _print(report: LogReport) -> None:
    document = {
        "status": "whole" if report.ok else "damaged",
        "origin": report.origin,
        "size": report.size,
        "root": report.root,
        "checkpoints": report.checkpoints,
        "checkpoint_time": report.checkpoint.time if report.checkpoint else None,
        "unsigned": report.unsigned,
        "pending": report.pending,
        "leaf": report.leaf,
        "findings": plain(report.findings),
    }

    def human(console: Console) -> None:
        if report.ok:
            words = STATE.pick(
                f"日志完整：{report.size} 条记录，{report.checkpoints} 个检查点。",
                f"The log is whole: {report.size} entries, {report.checkpoints} checkpoints.",
            )
            if report.leaf:  # a proof speaks of one entry and says nothing of the others
                entry = f"{report.leaf['id']} ({report.leaf['kind']})"
                words = STATE.pick(
                    f"记录 {entry} 在日志中：该日志共 {report.size} 条记录，检查点签名有效。",
                    f"The entry {entry} is in the log of {report.size} entries, by its signed checkpoint.",
                )
            console.print(f"[bold green]✔[/] {words}")
            if report.pending or report.unsigned:
                console.print(
                    STATE.pick(
                        f"  另有 {report.pending + report.unsigned} 条待编号或待签名。",
                        f"  {report.pending + report.unsigned} more wait.",
                    )
                )
            return
        console.print(f"[bold red]✘ {STATE.pick('日志有问题：', 'Something is wrong with the log:')}[/]")
        for finding in report.findings:
            where = f"#{finding.seq} " if finding.seq is not None else ""
            console.print(f"  {where}{STATE.pick(finding.message_zh, finding.message)}", markup=False)

    emit(document, human)


@app.command("list")
def list_entries(
    subject: Annotated[str | None, typer.Option("--subject", help="只看涉及此对象的 / of this object only")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="事项，如 seal.applied 或 seal / what happened")] = None,
    who: Annotated[str | None, typer.Option("--who", help="操作者账户 / by this account")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="DATE", help="自某日（含）/ from this day on")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help="至某日（含）/ to this day")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """按对象、事项、人员、日期查找记录，新的在前 / entries by object, kind, person and day, newest first."""
    with opened() as (node, actor):
        node.authorise(actor, "audit.read")
        found = node.audit.entries(
            subject=subject,
            kind=kind,
            actor=account_id(node, who) if who else None,
            since=day(since) if since else None,
            until=day(until) + timedelta(days=1) if until else None,
            limit=limit,
            before=cursor,
        )
        columns = (
            ("seq", "序号", "No."),
            ("at", "时间", "Time"),
            ("kind", "事项", "What"),
            ("actor", "操作者", "Who"),
            ("id", "编号", "ID"),
        )
        emit_list(found, columns, next_cursor=found[-1].id if len(found) == limit else None)


@app.command("trace")
def trace(what: Annotated[str, typer.Argument(metavar="FILE|ID", help="文件，或用印记录、申请、证照等的编号")]) -> int:
    """谁在何时用哪把密钥、依据哪条规则盖的章，由谁批准 / who sealed it, when, by which key and rule, on whose approval.

    退出码 / exit status: 0 已查到且一致 found and consistent, 1 有不一致 something disagrees, 30 未查到 no use of a seal.
    """
    from cli.tracing import print_trace

    path = Path(what)
    with opened() as (node, actor):
        found = node.tracer.file(actor, read_file(path)) if path.is_file() else node.tracer.find(actor, what)
        emit(found, lambda console: print_trace(console, found))
    if not found["uses"]:
        return 30
    return 1 if found["status"] == "doubtful" else 0


@app.command("checkpoint")
def checkpoint(out: Annotated[Path | None, typer.Option("--out", help="写到 / write it here")] = None) -> None:
    """最新的签名检查点，请保存在本节点之外 / the newest signed checkpoint, to be kept elsewhere."""
    from formats.checkpoint import parse_note

    with opened() as (node, actor):
        node.authorise(actor, "audit.prove")
        note = next(iter(node.audit.notes(limit=1)), None)
        if note is None:
            raise NotFound("The log has no signed checkpoint yet.", "日志尚无签名检查点。")
        if out is not None:
            write_out(out, note.encode())
        said = parse_note(note)[0]
        emit({"id": said.origin, "status": "signed", "size": said.size, "root": said.root.hex(), "at": said.time, "note": note})


@app.command("consistency")
def consistency(
    since: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="先前保存的检查点 / a checkpoint kept earlier")],
    out: Annotated[Path | None, typer.Option("--out", help="写到 / write the proof here")] = None,
) -> None:
    """证明现在的日志是先前检查点的延续 / a proof that the log extends what was seen before."""
    import json

    with opened() as (node, actor):
        node.authorise(actor, "audit.prove")
        proof = node.audit.consistency(read_file(since, limit=1 << 16).decode("utf-8", "replace"))
        if out is None:
            emit(proof)
            return
        write_out(out, (json.dumps(proof, ensure_ascii=False, indent=2) + "\n").encode())
        emit({"id": node.audit.origin, "status": "proved", "out": str(out)})


@app.command("prove")
def prove(
    leaf: Annotated[str, typer.Argument(metavar="LEAF", help="记录编号 / ID of the entry")],
    out: Annotated[Path | None, typer.Option("--out", help="写到 / write the proof here")] = None,
) -> None:
    """证明一条记录在日志中；证明可离线核验 / a proof that anyone checks offline."""
    import json

    with opened() as (node, actor):
        node.authorise(actor, "audit.prove")
        proof = node.audit.prove(leaf)
        if out is None:
            emit(proof)
            return
        write_out(out, (json.dumps(proof, ensure_ascii=False, indent=2) + "\n").encode())
        emit({"id": leaf, "status": "proved", "out": str(out)})


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", help="写到 / write the log here")],
    keys: Annotated[
        Path | None, typer.Option("--keys", help="同时写出日志公钥（PEM）/ write the log's public keys here")
    ] = None,
) -> None:
    """导出整个日志，供离线核验 / export the whole log."""
    with opened() as (node, actor):
        node.authorise(actor, "audit.export")
        data = "".join(line if line.endswith("\n") else line + "\n" for line in node.audit.export()).encode()
        write_out(out, data)
        if keys is not None:
            from formats.x509 import to_pem

            write_out(keys, "".join(to_pem(key.spki, "PUBLIC KEY") for key in node.audit_keys()).encode())
        emit(
            {
                "id": node.audit.origin,
                "status": "exported",
                "out": str(out),
                "bytes": len(data),
                "keys": str(keys) if keys else None,
            }
        )
