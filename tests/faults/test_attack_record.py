"""Somebody with the database in hand removes or rewrites what is on record: noticed, and named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ceremonies.node import Node
from cli.main import main
from formats import merkle
from tests.node_home import founded_home


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's home whose log is whole and signed."""
    home = copied(founded_home(), tmp_path_factory.mktemp("record") / "node")
    with closing(Node.open(home)) as node:
        for number in range(4):
            node.accounts.create_department(f"第{number}科")
            node.audit.sequence(node.checkpoint_key())
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return copied(whole, tmp_path / "node")


def copied(home: Path, copy: Path) -> Path:
    """A home at another place, with a database of its own."""
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("*.sock"))
    config = copy / "node.toml"
    config.write_text(config.read_text("utf-8").replace(str(home), str(copy)), "utf-8")
    return copy


def database(home: Path) -> sqlite3.Connection:
    with closing(Node.open(home)) as node:
        return sqlite3.connect(str(node.db.url.database))


def verify(home: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main(["--home", str(home), "audit", "verify", *more, "--json"])
    return status, json.loads(capsys.readouterr().out)


def rebuild(live: sqlite3.Connection) -> None:
    """What a forger does who knows the format: numbers closed up, the tree and its head computed anew."""
    leaves = live.execute("SELECT id, body FROM audit_leaves WHERE seq IS NOT NULL ORDER BY seq").fetchall()
    live.execute("UPDATE audit_leaves SET seq = NULL")
    live.execute("DELETE FROM audit_nodes")
    edge = merkle.CompactRange()
    for leaf, body in leaves:
        hashed = merkle.leaf_hash(body.encode())
        live.execute("UPDATE audit_leaves SET seq = ?, leaf_hash = ? WHERE id = ?", (edge.size, hashed.hex(), leaf))
        for level, index, value in edge.append(hashed):
            live.execute(
                'INSERT INTO audit_nodes (region, level, "index", hash) VALUES (?, ?, ?, ?)',
                ("310000", level, index, value.hex()),
            )
    live.execute("UPDATE audit_heads SET size = ?, root = ?", (edge.size, edge.root().hex()))


def one_leaf(live: sqlite3.Connection) -> tuple[str, int]:
    found: tuple[str, int] = live.execute(
        "SELECT id, seq FROM audit_leaves WHERE kind = 'people.department-created' ORDER BY seq DESC LIMIT 1 OFFSET 2"
    ).fetchone()
    return found


def remove(live: sqlite3.Connection) -> int:
    leaf, seq = one_leaf(live)
    live.execute("DELETE FROM audit_subjects WHERE leaf_id = ?", (leaf,))
    live.execute("DELETE FROM audit_leaves WHERE id = ?", (leaf,))
    return seq


def test_a_whole_record_is_found_whole(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = verify(home, capsys)
    assert (status, told["findings"]) == (0, [])


def test_a_removed_audit_leaf_is_noticed_and_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(database(home)) as live, live:
        seq = remove(live)
    status, told = verify(home, capsys)
    assert status == 1
    named = [finding for finding in told["findings"] if finding["code"] == "leaf-missing"]
    assert [finding["seq"] for finding in named] == [seq]
    assert str(seq) in named[0]["message_zh"]


def test_a_leaf_removed_with_every_trace_of_it_is_noticed_by_the_signed_checkpoints(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(database(home)) as live, live:
        seq = remove(live)
        rebuild(live)
    status, told = verify(home, capsys)
    assert status == 1
    assert {"root-differs", "log-cut"} & {finding["code"] for finding in told["findings"]}
    first = min(finding["seq"] for finding in told["findings"] if finding["code"] == "root-differs")
    assert first <= seq, "the batch that it was in is named"


def test_removed_together_with_the_checkpoints_it_is_noticed_by_the_witness_outside_the_database(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(database(home)) as live, live:
        seq = remove(live)
        rebuild(live)
        live.execute("DELETE FROM audit_checkpoints WHERE size > ?", (seq,))
    status, told = verify(home, capsys)
    assert status == 1
    assert {"rolled-back", "witness-differs"} & {finding["code"] for finding in told["findings"]}


def test_removed_from_an_export_it_is_noticed_without_the_database(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, keys = tmp_path / "log.jsonl", tmp_path / "keys.pem"
    assert main(["--home", str(home), "audit", "export", "--out", str(out), "--keys", str(keys)]) == 0
    lines = out.read_text("utf-8").splitlines(keepends=True)
    assert verify(tmp_path, capsys, str(out), "--trust", str(keys))[0] == 0
    cut = next(n for n, line in enumerate(lines) if "people.department-created" in line)
    out.write_text("".join(lines[:cut] + lines[cut + 1 :]), "utf-8")
    status, told = verify(tmp_path, capsys, str(out), "--trust", str(keys))
    assert (status, told["findings"][0]["code"]) == (1, "leaf-missing")


def _edit_body(live: sqlite3.Connection) -> str:
    leaf, _ = one_leaf(live)
    live.execute("UPDATE audit_leaves SET body = replace(body, 'local-operator', 'somebody-else') WHERE id = ?", (leaf,))
    return "leaf-edited"


def _edit_column(live: sqlite3.Connection) -> str:
    leaf, _ = one_leaf(live)
    live.execute("UPDATE audit_leaves SET actor = 'somebody-else' WHERE id = ?", (leaf,))
    return "leaf-columns"


def _raise_oneself(live: sqlite3.Connection) -> str:
    live.execute("""UPDATE accounts SET roles = '["signer_off"]' WHERE name = 'handler'""")
    return "row-edited"


def _insert_somebody(live: sqlite3.Connection) -> str:
    columns = [row[1] for row in live.execute("PRAGMA table_info(accounts)")]
    values = ", ".join({"id": "'account_forged'", "name": "'forged'"}.get(name, name) for name in columns)
    live.execute(f"INSERT INTO accounts SELECT {values} FROM accounts WHERE name = 'signer'")
    return "row-without-leaf"


@pytest.mark.parametrize("tamper", [_edit_body, _edit_column, _raise_oneself, _insert_somebody])
def test_an_edited_database_row_is_noticed_by_the_command_and_named(
    home: Path, capsys: pytest.CaptureFixture[str], tamper: Callable[[sqlite3.Connection], str]
) -> None:
    with closing(database(home)) as live, live:
        code = tamper(live)
    status, told = verify(home, capsys)
    assert status == 1
    assert code in {finding["code"] for finding in told["findings"]}


def test_the_sequencer_signs_nothing_over_a_record_that_was_rewritten(home: Path) -> None:
    from store.audit import LogDamaged

    with closing(database(home)) as live, live:
        remove(live)
        rebuild(live)
    with closing(Node.open(home)) as node:
        node.accounts.create_department("更多")
        with pytest.raises(LogDamaged):
            node.audit.sequence(node.checkpoint_key())
