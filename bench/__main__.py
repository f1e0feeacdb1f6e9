"""``python -m bench``: every measurement beside a peer in the same run, as ratios; ``--json`` prints one JSON document."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measure import Row, machine

Section = Callable[[float], Iterable[Row]]


def _primitives(seconds: float) -> Iterator[Row]:
    from bench import primitives

    yield from primitives.rows(max(1.0, seconds / 3))


def _sealing(seconds: float) -> Iterator[Row]:
    from bench import sealing, tokens

    yield from sealing.rows(seconds)
    yield from tokens.sealing_rows(seconds)


def _verification(seconds: float) -> Iterator[Row]:
    from bench import verification

    yield from verification.rows(seconds)


def _token(seconds: float) -> Iterator[Row]:
    from bench import tokens

    yield from tokens.rows(seconds)


def _rotation(seconds: float) -> Iterator[Row]:
    from bench import rotation

    yield from rotation.rows(seconds)


SECTIONS: dict[str, Section] = {
    "primitives": _primitives,
    "token": _token,
    "sealing": _sealing,
    "verification": _verification,
    "rotation": _rotation,
}


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout, and the table on stderr")
    parser.add_argument("--quick", action="store_true", help="a third of the time, rougher figures")
    parser.add_argument("--section", action="append", choices=list(SECTIONS), help="only this one (may be repeated)")
    options = parser.parse_args(arguments)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    started = time.perf_counter()
    facts = machine()
    rows: list[Row] = []
    for name in options.section or SECTIONS:
        with console.status(f"measuring {name} …"):
            rows += SECTIONS[name](1.5 if options.quick else 4.5)
    facts["load_after"] = round(os.getloadavg()[0], 2)
    console.print(_table(rows))
    console.print(" · ".join(f"{key.replace('_', ' ')}: {value}" for key, value in facts.items()), style="dim")
    if max(facts["load_before"], facts["load_after"]) > (os.cpu_count() or 1):
        console.print(
            "The machine is busy: rows in wall time (token, request to result) say little; run again when it is idle."
        )
    if options.json:
        print(json.dumps(document(rows, facts, time.perf_counter() - started), ensure_ascii=False, indent=1))
    return 1 if any(row.kept is False for row in rows) else 0


def document(rows: list[Row], facts: dict[str, Any], seconds: float) -> dict[str, Any]:
    """``{"machine", "seconds", "rows"}``."""
    return {"machine": facts, "seconds": round(seconds, 1), "rows": [row.to_dict() for row in rows]}


def _table(rows: list[Row]) -> Table:
    table = Table(title="Ours beside a peer in one run; ratio = time of ours / time of the peer")
    for name in ("section", "case", "ours", "peer", "", "ratio", "note"):
        table.add_column(name, justify="right" if name in ("ours", "", "ratio") else "left", overflow="fold")
    for row in rows:
        verdict = {None: "", True: f" ✓ ≤ {row.at_most}", False: f" ✗ > {row.at_most}"}[row.kept]
        style = "red" if row.kept is False else ""
        table.add_row(
            row.section, row.case, _figure(row.ours_ms), row.peer, _figure(row.peer_ms), f"{row.ratio:.2f}{verdict}", row.note,
            style=style,
        )  # fmt: skip
    return table


def _figure(milliseconds: float) -> str:
    return f"{milliseconds:.3f} ms · {1000 / milliseconds:,.0f}/s"


if __name__ == "__main__":
    sys.exit(main())
