"""``xinyin watch …``: the folders of node.toml whose documents are sealed, or come back with the reason why not."""

from __future__ import annotations

import time

import typer

from cli.output import emit, emit_list
from cli.support import opened

app = typer.Typer(help="监视文件夹：放入 PDF，盖章后取回 / watched folders: put a PDF in, get it back sealed")


@app.command("list")
def list_folders() -> None:
    """列出监视文件夹及等待办理的份数 / list the folders and how many documents wait in each."""
    from ceremonies.watch_config import watch_configs
    from ceremonies.watching import WatchedFolder

    columns = (
        ("name", "名称", "Name"),
        ("in", "放入", "In"),
        ("out", "取回", "Out"),
        ("failed", "未成", "Failed"),
        ("waiting", "等待", "Waiting"),
    )
    with opened() as (node, _):
        rows = [
            {
                "name": one.name,
                "in": str(one.inbox),
                "out": str(one.outbox),
                "failed": str(one.failed),
                "matter": one.matter,
                "account": one.account,
                "waiting": WatchedFolder(node, one).waiting(),
            }
            for one in watch_configs(node.home)
        ]
        emit_list(rows, columns)


@app.command("once")
def once() -> None:
    """检查配置并处理一轮（worker 平时自动处理）/ look at every folder once; the worker does it by itself."""
    from ceremonies.watch_config import watch_configs
    from ceremonies.watching import WatchedFolder

    with opened() as (node, _):
        ended = 0
        for one in watch_configs(node.home):
            folder = WatchedFolder(node, one)
            ended += folder.work()
            time.sleep(one.stable_seconds)  # only what has not changed meanwhile is taken
            ended += folder.work()
        emit({"ended": ended})
