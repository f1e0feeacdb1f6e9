"""Printing: one JSON document or a page for people on stdout; messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ceremonies.plain import plain
from cli.state import STATE

if TYPE_CHECKING:
    from rich.console import Console


def _console(stream: Any) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, soft_wrap=False)


def out() -> Console:
    """The console on stdout."""
    return _console(sys.stdout)


def err() -> Console:
    """The console on stderr."""
    return _console(sys.stderr)


def emit(document: Any, human: Callable[[Console], None] | None = None) -> None:
    """Print a command's result: with ``--json`` the document, else the page that ``human`` draws (default: a plain listing)."""
    value = plain(document)
    if STATE.json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
        return
    console = out()
    if human is not None:
        human(console)
    else:
        _listing(console, value)


def emit_list(items: Iterable[Any], columns: Sequence[tuple[str, str, str]], *, next_cursor: str | None = None) -> None:
    """Print a list: ``{"items": […], "next": …}`` or a table. ``columns``: (key, Chinese heading, English heading)."""
    rows = [plain(i) for i in items]

    def human(console: Console) -> None:
        if not rows:
            console.print(STATE.pick("（没有内容）", "(nothing here)"), style="dim")
            return
        headings = [STATE.pick(zh, en) if STATE.lang != "both" else f"{zh} {en}" for _, zh, en in columns]
        cells = [[_cell(row.get(key)) for key, _, _ in columns] for row in rows]
        if _fits(console, [headings, *cells]):
            _print_table(console, headings, cells)
        else:
            _print_blocks(console, headings, cells)

    emit({"items": rows, "next": next_cursor}, human)


def _fits(console: Console, rows: list[list[str]]) -> bool:
    """Whether every column can have the width that its longest cell asks for."""
    from rich.cells import cell_len

    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return sum(widths) + 2 * len(widths) + 2 <= console.width


def _print_table(console: Console, headings: list[str], rows: list[list[str]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_blocks(console: Console, headings: list[str], rows: list[list[str]]) -> None:
    """One block an item, its lines left for the terminal to wrap, so that identifiers can be copied whole."""
    from rich.cells import cell_len

    width = max(cell_len(heading) for heading in headings)
    for row in rows:
        for heading, cell in zip(headings, row, strict=True):
            console.print(f"[dim]{heading}[/dim]{' ' * (width - cell_len(heading))}  {cell}", soft_wrap=True)
        console.print()


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return "–"
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if isinstance(value, dict | list):
        return escape(json.dumps(value, ensure_ascii=False))
    return escape(str(value))


def _listing(console: Console, value: Any) -> None:
    from rich.table import Table

    if not isinstance(value, dict):
        console.print(_cell(value))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, entry in value.items():
        table.add_row(str(key), _cell(entry))
    console.print(table)


def say(zh: str, en: str, *, style: str | None = None) -> None:
    """A message on stderr, in the run's language."""
    err().print(STATE.pick(zh, en), style=style, markup=False)
