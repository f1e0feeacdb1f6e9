"""``xinyin key …``: key roles and their generations."""

from __future__ import annotations

from typing import Annotated

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list
from cli.support import opened

app = typer.Typer(help="密钥：用途、代次、启用与退役 / key roles and generations")
GenerationId = Annotated[str, typer.Argument(metavar="GENERATION", help="密钥代 ID / key generation")]


@app.command("list")
def list_keys() -> None:
    """列出密钥用途及其各代 / list key roles with their generations."""
    with opened() as (node, actor):
        node.authorise(actor, "key.list")
        columns = (
            ("id", "编号", "ID"),
            ("purpose", "用途", "Purpose"),
            ("suite", "算法", "Suite"),
            ("status", "状态", "Status"),
        )
        emit_list(node.list_keys(), columns)


@app.command("stage")
def stage(role: Annotated[str, typer.Argument(metavar="ROLE", help="密钥用途 ID / key role")]) -> None:
    """在令牌内生成新一代密钥 / make the next generation in the token."""
    with opened() as (node, actor):
        node.authorise(actor, "key.stage", {"id": role})
        emit(plain(node.keys.stage(role)))


@app.command("activate")
def activate(generation: GenerationId) -> None:
    """启用；上一代转为收尾 / activate; the one before drains."""
    with opened() as (node, actor):
        node.authorise(actor, "key.activate", {"id": generation})
        emit(plain(node.keys.activate(generation)))


@app.command("retire")
def retire(generation: GenerationId) -> None:
    """退役：只能核验，不再签名 / retire: verifies only."""
    with opened() as (node, actor):
        node.authorise(actor, "key.retire", {"id": generation})
        emit(plain(node.keys.retire(generation)))
