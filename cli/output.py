"""Printing: one JSON document or a page for people on stdout; messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ceremonies.plain import plain
from cli.state import STATE
from cli.words import label, worded

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
        cells = [[_cell(key, row.get(key)) for key, _, _ in columns] for row in rows]
        if _fits(console, [headings, *cells]):
            _print_table(console, headings, cells)
        else:
            _print_blocks(console, headings, cells)

    emit({"items": rows, "next": next_cursor}, human)


def _fits(console: Console, rows: list[list[str]]) -> bool:
    """Whether every column can have the width that its longest cell asks for."""
    from rich.cells import cell_len

    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return sum(widths) + 3 * len(widths) + 1 <= console.width


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


def _cell(key: str, value: Any) -> str:
    from rich.markup import escape

    if isinstance(value, list):
        value = ", ".join(str(one) for one in value)
    return escape(worded(key, value))


def _listing(console: Console, value: Any) -> None:
    """A document for people: one line a member, what is nested below it under a heading; empty members are left out."""
    if not isinstance(value, dict):
        console.print(_cell("", value))
        return
    print_members(console, value, 0)


def print_members(console: Console, members: dict[str, Any], depth: int) -> None:
    """A document's members for people, ``depth`` steps in."""
    from rich.cells import cell_len

    said = {key: entry for key, entry in members.items() if entry not in (None, "", [], {})}
    exact = said.pop("state_zh", None)  # a withdrawn licence may be 撤销, 撤回, 吊销 or 注销
    state = "status" if "status" in said else "state"
    if exact and state in said:
        said[state] = STATE.pick(exact, said[state]).replace("\n", " ")
    lines = {key: entry for key, entry in said.items() if not _is_nested(entry)}
    width = max((cell_len(label(key)) for key in lines), default=0)
    for key, entry in lines.items():
        _print_line(console, label(key), _cell(key, entry), width, depth)
    for key, entry in said.items():
        if key in lines:
            continue
        console.print(f"{'  ' * depth}[bold]{label(key)}[/bold]")
        parts = entry if isinstance(entry, list) else [entry]
        for number, part in enumerate(parts):
            if number and isinstance(part, dict):
                console.print()
            if isinstance(part, dict):
                print_members(console, part, depth + 1)
            else:
                _print_line(console, "", _cell(key, part), 0, depth + 1)


def _is_nested(entry: Any) -> bool:
    """Objects, and lists of objects or of sentences; a list of a few words stays on one line."""
    if isinstance(entry, list):
        return any(isinstance(one, dict) or len(str(one)) > 24 for one in entry)
    return isinstance(entry, dict)


def _print_line(console: Console, heading: str, cell: str, width: int, depth: int) -> None:
    """A heading and its value. Sentences wrap under themselves; an identifier stays whole, so that it can be copied."""
    from rich.cells import cell_len
    from rich.padding import Padding

    margin = "  " * depth
    start = cell_len(margin) + (width + 2 if width else 0)
    before = f"{margin}[dim]{heading}[/dim]{' ' * (width - cell_len(heading) + 2)}" if width else margin
    fits = start + cell_len(cell) <= console.width
    if fits or "\n" in cell:
        console.print(before.rstrip() + f"\n{cell.rstrip()}" if "\n" in cell else before + cell, soft_wrap=True)
    elif cell.isascii() and " " not in cell:
        console.print(before.rstrip())
        console.print(f"{margin}  {cell}", soft_wrap=True)
    elif not width:
        console.print(Padding(cell, (0, 0, 0, cell_len(margin))))
    else:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(width=width or None, no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        table.add_row(heading, cell)
        console.print(Padding(table, (0, 0, 0, cell_len(margin))))


def say(zh: str, en: str, *, style: str | None = None) -> None:
    """A message on stderr, in the run's language."""
    err().print(STATE.pick(zh, en), style=style, markup=False)
