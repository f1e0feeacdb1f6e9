"""``xinyin trust …``: publish our list, import other regions'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened
from cli.verify import read_file

app = typer.Typer(help="信任列表：发布本区域的，导入外区域的 / trust lists")


@app.command("publish")
def publish() -> None:
    """重新签发本区域的信任列表 / sign and publish this region's list."""
    with opened() as (node, actor):
        node.authorise(actor, "trust.publish")
        made = node.publish_trust()
        emit(
            {
                "id": made.fingerprint,
                "status": "published",
                "region": made.region,
                "sequence": made.sequence,
                "next_update": made.next_update,
                "services": len(made.services),
                "file": str(STATE.home / "trust" / "list.jws"),
            }
        )


@app.command("import")
def import_list(
    file: Annotated[Path, typer.Argument(metavar="LIST.JWS", help="外区域的信任列表 / another region's list")],
    pin: Annotated[str | None, typer.Option("--pin", help="该列表密钥的 SHA-256，首次导入须与对方核对 / fingerprint")] = None,
) -> None:
    """导入外区域的信任列表 / import another region's list."""
    data = read_file(file, limit=32 << 20)
    with opened() as (node, actor):
        node.authorise(actor, "trust.import")
        found = node.trust.accept(data, pin=pin.strip().lower() if pin else None)
        emit(
            {
                "id": found.fingerprint,
                "status": "imported",
                "region": found.region,
                "name": found.name,
                "sequence": found.sequence,
                "next_update": found.next_update,
                "services": len(found.services),
            }
        )


@app.command("list")
def list_lists() -> None:
    """本节点采信的信任列表 / the lists that this node trusts."""
    with opened() as (node, actor):
        node.authorise(actor, "trust.list")
        columns = (
            ("region", "区域", "Region"),
            ("name", "名称", "Name"),
            ("sequence", "序号", "No."),
            ("next_update", "下次更新", "Next update"),
            ("status", "状态", "Status"),
            ("id", "密钥指纹", "Fingerprint"),
        )
        emit_list(node.trust.lists(), columns)
