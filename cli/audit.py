"""``xinyin audit …``: is the record whole, prove one entry, export it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened, write_out
from cli.verify import read_file
from crypto.errors import Usage

if TYPE_CHECKING:
    from rich.console import Console

    from formats.auditlog import LogReport

app = typer.Typer(help="审计日志：核验、证明、导出 / the audit log: verify, prove, export")


@app.command("verify")
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="导出或证明文件；不给则核验本节点 / export or proof")
    ] = None,
    trust: Annotated[
        list[Path] | None, typer.Option("--trust", help="审计密钥（PEM、DER）/ keys of the log's checkpoints")
    ] = None,
) -> int:
    """核验日志完整：每条记录、每个检查点、有无删改 / recompute the whole log.

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
            report = node.audit.verify(given or node.audit_keys())
    _print(report)
    return 0 if report.ok else 1


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
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """最近的记录 / the newest entries."""
    with opened() as (node, actor):
        node.authorise(actor, "audit.read")
        if subject:
            found = node.audit.history(subject, limit=limit, before=cursor)
        else:
            found = node.audit.entries(limit=limit, before=cursor)
        columns = (
            ("seq", "序号", "No."),
            ("at", "时间", "Time"),
            ("kind", "事项", "What"),
            ("actor", "操作者", "Who"),
            ("id", "编号", "ID"),
        )
        emit_list(found, columns, next_cursor=found[-1].id if len(found) == limit else None)


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
