"""``xinyin trust …``: publish our list, import other regions' and keep them fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened
from cli.verify import read_file

app = typer.Typer(help="信任列表：发布本区域的，导入、更新外区域的 / trust lists")

_COLUMNS = (
    ("region", "区域", "Region"),
    ("name", "名称", "Name"),
    ("sequence", "序号", "No."),
    ("next_update", "下次更新", "Next update"),
    ("status", "状态", "Status"),
    ("answered", "最近取得", "Last heard"),
    ("id", "密钥指纹", "Fingerprint"),
)


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
    source: Annotated[
        str,
        typer.Argument(metavar="URL|LIST.JWS", help="外区域信任列表的地址或文件 / address or file of another region's list"),
    ],
    pin: Annotated[str | None, typer.Option("--pin", help="该列表密钥的 SHA-256，首次导入须与对方核对 / fingerprint")] = None,
) -> None:
    """导入外区域的信任列表 / import another region's list.

    首次导入须用 --pin 给出对方公布的密钥指纹；不给出时，命令会显示所取得列表的指纹以供核对。
    The first import needs --pin, compared with what the region publishes; without it the fingerprint found is shown.
    """
    by_address = source.startswith(("http://", "https://"))
    data = b"" if by_address else read_file(Path(source), limit=32 << 20)
    with opened() as (node, actor):
        desk = node.region_desk
        found = desk.import_from(actor, source, pin=pin) if by_address else desk.import_text(actor, data, pin=pin)
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
        emit_list(node.region_desk.lists(actor), _COLUMNS)


@app.command("held")
def held() -> None:
    """本节点持有的外区域状态列表 / what is held of other regions' states, and how old it is."""
    with opened() as (node, actor):
        columns = (
            ("region", "区域", "Region"),
            ("kind", "内容", "What"),
            ("issued", "签发", "Signed"),
            ("fetched", "取得", "Fetched"),
            ("stale", "过期", "Stale"),
            ("url", "地址", "Address"),
        )
        emit_list(node.region_desk.holdings(actor), columns)


@app.command("refresh")
def refresh(
    region: Annotated[
        str | None, typer.Argument(metavar="[REGION]", help="区域代码，缺省为全部 / one region, else all")
    ] = None,
) -> int:
    """向外区域取得更新的列表 / ask other regions for newer lists.

    有区域未能取得时退出码为 1，已有的列表继续使用。Exit status 1 where a region could not be asked; its last list stays in use.
    """
    with opened() as (node, actor):
        told: list[dict[str, Any]] = node.region_desk.refresh(actor, region=region)
    columns = (
        ("region", "区域", "Region"),
        ("status", "结果", "Result"),
        ("sequence", "序号", "No."),
        ("message_zh", "说明", "说明"),
        ("message", "Note", "Note"),
    )
    emit_list(told, columns)
    return 1 if any(one["status"] == "failed" for one in told) else 0


@app.command("forget")
def forget(region: Annotated[str, typer.Argument(metavar="REGION", help="区域代码 / region code")]) -> None:
    """停止采信一个区域 / stop trusting a region: its list, its pin and what is held of it."""
    with opened() as (node, actor):
        node.region_desk.forget(actor, region)
        emit({"id": f"trust_{region}", "status": "forgotten", "region": region})
