"""``xinyin receipt …``: receipts of verifications, for the file; checking one needs no account and no network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened, write_out
from cli.verify import read_file
from verify.receipt import BadReceipt, belongs, check
from verify.trust import TrustStore, read_pins

app = typer.Typer(help="核验回执：取得、查阅、核对 / receipts of verifications")
Id = Annotated[str, typer.Argument(metavar="RECEIPT", help="回执编号 / receipt ID")]


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.jws", help="回执文件 / the receipt")],
    document: Annotated[
        Path | None, typer.Option("--document", help="回执所述的文件，核对是否同一份 / is the receipt about this file")
    ] = None,
    trust: Annotated[list[Path] | None, typer.Option("--trust", help="信任列表，可多次 / trust lists")] = None,
    pin: Annotated[list[str] | None, typer.Option("--pin", help="信任列表密钥的指纹 / fingerprint")] = None,
) -> None:
    """核对回执是否由列入信任列表的回执密钥签发 / did a listed receipt key sign this receipt."""

    folder = STATE.home / "trust"
    known = read_pins(folder / "pins.json")
    store = TrustStore.from_paths(trust, pin or [], known_pins=known) if trust else TrustStore.from_folder(folder)
    found = check(read_file(file, limit=1 << 20).decode("ascii", "replace"), store)
    if document is not None and not belongs(found, read_file(document)):
        raise BadReceipt(
            f"The receipt is genuine, but not about {document.name}.", f"回执真实，但与文件 {document.name} 不符。"
        )
    emit(found)


@app.command("issue")
def issue(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="要核验的文件或图片 / a document or a picture")],
    out: Annotated[Path, typer.Option("--out", help="回执写到哪里 / where the receipt goes")],
) -> None:
    """核验并取得回执（--matter 指明事项）/ verify, and keep a signed receipt."""
    from records.receipts import Presented
    from verify.worker import verify_many

    data = read_file(file)
    with opened() as (node, actor):
        context = node.verification_context(matter=STATE.matter)
        (verdict,) = verify_many([(file.name, data)], lambda: context)
        channel = "photo" if (verdict.get("read_from") or {}).get("kind") == "picture" else "file"
        presented = Presented(hashlib.sha256(data).hexdigest(), channel, STATE.matter)
        made = node.receipts.issue(actor, verdict, presented)
        write_out(out, made["jws"].encode())
        emit({**_brief(made), "file": str(out)})


@app.command("list")
def list_receipts(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出回执 / list receipts."""
    columns = (
        ("id", "编号", "ID"),
        ("at", "时间", "Time"),
        ("decision", "结论", "Answer"),
        ("licence_type", "证照", "Licence"),
        ("matter", "事项", "Matter"),
        ("organ", "核验单位", "By"),
    )
    with opened() as (node, actor):
        page = node.receipts.list(actor, limit=limit, cursor=cursor)
        emit_list([_brief(one) for one in page.items], columns, next_cursor=page.next)


@app.command("show")
def show(
    receipt: Id, out: Annotated[Path | None, typer.Option("--out", help="把回执写入文件 / write the receipt to a file")] = None
) -> None:
    """查看回执 / show a receipt."""
    with opened() as (node, actor):
        found = node.receipts.show(actor, receipt)
        if out is not None:
            write_out(out, found["jws"].encode())
        emit(found if STATE.json else found["claims"])


def _brief(receipt: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in receipt.items() if name not in ("claims", "jws", "account", "department")}
