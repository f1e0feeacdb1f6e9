"""What several commands share: the opened node, who acts, places on a page, results written safely."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.state import STATE
from crypto.errors import Conflict, NotFound, Usage

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.schemas import Actor


@contextmanager
def opened() -> Iterator[tuple[Node, Actor]]:
    """The node of this run's home and whoever acts: ``--as ACCOUNT``, else the local operator.

    What the command put on record is numbered before it ends, unless a worker runs that does it.
    """
    from ceremonies.node import Node

    node = Node.open(STATE.home)
    try:
        yield node, node.actor(STATE.account)
        node.settle()
    finally:
        node.close()


def matter() -> str:
    """``--matter``, else ``default``."""
    return STATE.matter or "default"


def place(text: str) -> tuple[int, float, float]:
    """``PAGE,X_MM,Y_MM``: page from 1, millimetres from the top-left corner of the displayed page to the seal's centre.

    :raises Usage: not of that form
    """
    parts = text.split(",")
    try:
        page, x, y = int(parts[0]), float(parts[1]), float(parts[2])
        if len(parts) != 3 or page < 1:
            raise ValueError
    except (ValueError, IndexError) as exc:
        raise Usage(
            f"“{text}” is no place; write PAGE,X_MM,Y_MM, for example 1,150,250.",
            f"“{text}”不是位置；请写成 页码,X毫米,Y毫米，例如 1,150,250。",
        ) from exc
    return page, x, y


def can_write(path: Path, source: Path | None = None) -> Path:
    """``path``, if a result can be written there. Asked before a seal is used or a number given, not after.

    :param source: the document that the result is made from; it is never overwritten

    :raises NotFound: the folder is not there
    :raises Conflict: the name is a folder's, or the folder takes no new file
    """
    if source is not None and path.exists() and path.samefile(source):
        raise Conflict(
            f"{path} is the document itself; name another file for the result, so that the original stays.",
            f"{path} 就是原件；请为结果指定其他文件名，以保留原件。",
        )
    if path.is_dir():
        raise Conflict(f"{path} is a folder; name a file for the result.", f"{path} 是文件夹；请为结果指定文件名。")
    folder = path.parent
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", f"没有文件夹 {folder}。")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Conflict(
            f"Nothing can be written into {folder}; choose another folder.", f"无法写入文件夹 {folder}；请另选文件夹。"
        )
    return path


def write_out(path: Path, data: bytes) -> None:
    """Write a result as a whole: there is never half a sealed document under its name.

    :raises NotFound: the folder is not there
    :raises Conflict: nothing can be written there
    """
    folder = can_write(path).parent
    temporary = folder / f".{path.name}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def without_empty(document: dict[str, Any]) -> dict[str, Any]:
    """For people: members that say nothing are left out."""
    return {key: value for key, value in document.items() if value not in (None, "", [], {})}
