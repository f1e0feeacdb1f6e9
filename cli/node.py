"""Commands about the node as a whole: init, serve, signer, worker, demo, doctor."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import emit, err, say
from cli.state import STATE

if TYPE_CHECKING:
    from rich.console import Console

    from ceremonies.node import Node


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(init)
    app.command("serve")(serve)
    app.command("signer")(signer)
    app.command("worker")(worker)
    app.command("demo")(demo)
    app.command("doctor")(doctor)


def init(
    region: Annotated[str, typer.Option("--region", help="行政区划代码（GB/T 2260，六位）/ region code, six digits")],
    name: Annotated[str, typer.Option("--name", help="区域名称 / the region's name, e.g. 上海市")],
    database: Annotated[str | None, typer.Option("--database", help="数据库地址 / database address (default: SQLite)")] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="对外地址，写入证书 / public address, e.g. https://seals.example.gov.cn")
    ] = None,
) -> None:
    """建立节点：数据库、令牌、CA 体系、时间戳、信任列表 / make a node."""
    from ceremonies.founding import found

    console = err()

    def progress(zh: str, en: str) -> None:
        console.print(f"[dim]·[/] {STATE.pick(zh, en)}")

    node = found(STATE.home, region, name, progress, database=database, base_url=base_url)
    document = node.describe()
    node.close()

    def human(page: Console) -> None:
        page.print(f"[bold green]✔[/] {STATE.pick('节点已建立', 'The node is ready')}: {document['name']} {document['region']}")
        page.print(f"  [dim]{STATE.home}[/]")
        page.print(f"  {STATE.pick('下一步：xinyin demo，或 xinyin serve', 'Next: xinyin demo, or xinyin serve')}")

    emit(document, human)


def serve(
    host: Annotated[str, typer.Option("--host", help="监听地址 / address to listen on")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", help="端口 / port (default: that of node.toml, 8310)")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="使用 HTTPS（自签开发证书）/ HTTPS, for phones")] = False,
) -> int:
    """启动服务：签名进程、后台进程与网页一并启动 / start signer, worker and pages together."""
    from cli.supervise import serve as run

    return run(STATE.home, host=host, port=port, tls=tls)


def signer() -> None:
    """签名进程：唯一打开令牌、知道 PIN 的进程 / the only process that opens tokens."""
    from ceremonies.config import NodeConfig
    from cli.supervise import end_with_parent
    from hsm.signer import run_signer

    NodeConfig.load(STATE.home)
    end_with_parent()
    say("签名进程已启动，Ctrl-C 停止。", "The signer is running; Ctrl-C stops it.")
    run_signer(STATE.home)


def worker() -> None:
    """后台进程：审计编号与检查点、CRL、OCSP、信任列表的更新 / sequencing, CRL and OCSP refresh."""
    from ceremonies.upkeep import run_worker
    from cli.supervise import end_with_parent

    end_with_parent()
    say("后台进程已启动，Ctrl-C 停止。", "The worker is running; Ctrl-C stops it.")
    run_worker(STATE.home)


def demo(
    pdfs: Annotated[list[Path] | None, typer.Argument(help="另外要盖章的 PDF / further PDFs to seal", metavar="[PDF]…")] = None,
) -> int:
    """演示主要业务：制章、发照、盖章、核验、篡改、撤销 / the main job from beginning to end."""
    from cli.storytelling import tell

    return tell(STATE.home, pdfs or [])


def _people(home: Path) -> list[Any]:
    """Whether enough officers can approve steps on keys, and whether the OpenID provider, if there is one, can be used.

    Nothing where there is no finished node.
    """
    from ceremonies.config import NodeConfig
    from ceremonies.node import Node
    from crypto.errors import XinyinError

    try:
        if not NodeConfig.load(home).founded:
            return []
        node = Node.open(home)
    except XinyinError:
        return []
    try:
        return [node.approvals.health(), *_provider(node)]
    finally:
        node.close()


def _provider(node: Node) -> list[Any]:
    from crypto.errors import XinyinError
    from hsm.doctor import Check

    try:
        if node.oidc is None:
            return []
        found = node.oidc.look()
    except XinyinError as exc:
        return [Check("sign-in service", False, exc.message, exc.message_zh)]
    return [Check("sign-in service", True, f"{found} answers.", f"{found} 应答正常。")]


def doctor() -> int:
    """检查从驱动到签名的每一环 / check the chain from driver to signature."""
    from hsm.doctor import checks

    found: list[Any] = [*checks(STATE.home), *_people(STATE.home)]
    rows = [{"name": c.name, "ok": c.ok, "message": c.message, "message_zh": c.message_zh} for c in found]

    def human(console: Console) -> None:
        from rich.markup import escape
        from rich.padding import Padding

        # What is said of several checks in a row, such as the keys, is said once.
        for (ok, zh, en), same in groupby(rows, key=itemgetter("ok", "message_zh", "message")):
            mark = "[green]✔[/]" if ok else "[red]✘[/]"
            for row in same:
                console.print(f"{mark} [bold]{escape(row['name'])}[/]")
            console.print(Padding(escape(STATE.pick(zh, en)), (0, 0, 0, 2)))

    emit({"ok": all(r["ok"] for r in rows), "items": rows, "next": None}, human)
    return 0 if all(r["ok"] for r in rows) else 1
