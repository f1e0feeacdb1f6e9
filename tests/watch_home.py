"""A founded node with a watched folder: the system that writes into it is the registration system of the sample bureau."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ceremonies.config import FILE
from ceremonies.node import Node
from ceremonies.sample import APPROVER, sample_uscc
from ceremonies.watch_config import WatchConfig, watch_configs
from ceremonies.watching import WatchedFolder
from store.crashpoints import arm
from tests.node_home import EXAMPLES, REGION

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
USCC = sample_uscc(REGION, APPROVER)
INSTANT = "registration-notice"
FACTS = "{complete = true, register_match = true, risk = 'low'}"


def prepare(node: Node, root: Path) -> None:
    """The system's account, the bureau's seal, and two folders: one of an instant matter, one that people look at."""
    operator = node.actor(None)
    seal = node.seals.create(operator, owner_name=APPROVER, owner_uscc=USCC, idempotency_key="watched-seal")
    node.accounts.create(
        "registration", None, roles=["handler", "seal_keeper"], department=node.department(USCC), kind="system"
    )
    text = "".join(
        f"""
[[watch]]
name = "{name}"
in = "{root}/{name}/in"
out = "{root}/{name}/out"
failed = "{root}/{name}/failed"
account = "registration"
seal = "{seal["id"]}"
matter = "{matter}"
at = "2,137,175"
stable_seconds = 0
{facts}
"""
        for name, matter, facts in (("instant", INSTANT, f"facts = {FACTS}"), ("people", "approval-reply", ""))
    )
    with (node.home / FILE).open("a", encoding="utf-8") as file:
        file.write(text)


def config(home: Path, name: str) -> WatchConfig:
    return next(one for one in watch_configs(home) if one.name == name)


def drop(folder: Path, name: str, data: bytes = APPROVAL) -> None:
    """Put a document into a folder in one step, as a careful system does."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.tmp"
    temporary.write_bytes(data)
    temporary.replace(folder / name)


def work(home: str, name: str, point: str | None = None) -> None:
    """The whole life of a worker that looks once; killed at ``point`` if one is given."""
    node = Node.open(Path(home))
    worker = look(node, name)
    if point is not None:
        arm(point)
    worker.work()
    node.close()


def look(node: Node, name: str) -> WatchedFolder:
    """A worker's view of the folder, fresh: it remembers nothing of what was there before."""
    return WatchedFolder(node, replace(config(node.home, name)))
