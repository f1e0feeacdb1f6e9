"""``xinyin key`` and ``xinyin ca root-login`` as an operator types them."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ceremonies.node import Node
from cli.main import main
from tests.node_home import founded_home


@pytest.fixture(scope="module")
def home() -> Path:
    return founded_home("keys by commands")


class Shell:
    """Runs commands in this process; ``(exit status, JSON)``."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home, self._capsys = home, capsys

    def __call__(self, *words: str) -> tuple[int, Any]:
        self._capsys.readouterr()
        status = main(["--home", str(self._home), "--json", *words])
        return status, json.loads(self._capsys.readouterr().out)


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(home, capsys)


def test_a_timestamp_key_is_rotated_by_commands(run: Shell) -> None:
    _, listed = run("key", "list")
    role = next(r for r in listed["items"] if (r["purpose"], r["suite"]) == ("tsa", "rsa"))
    _, plan = run("key", "plan", role["id"])
    assert [s["step"] for s in plan["steps"]][:4] == ["stage", "prove", "certify", "distribute"]
    _, staged = run("key", "stage", role["id"])
    for step in ("prove", "certify", "distribute", "activate"):
        status, taken = run("key", step, staged["id"])
        assert (status, taken["id"]) == (0, staged["id"])
    status, refused = run("key", "retire", role["active"])
    assert (status, refused["error"]["code"]) == (1, "rotation-step")  # requests under way have a minute
    status, retired = run("key", "retire", role["active"], "--now")
    assert status == 0, retired
    assert retired["status"] == "retired"
    status, destroyed = run("key", "destroy", role["active"])
    assert (status, destroyed["status"]) == (0, "destroyed")
    status, due = run("key", "due", "--days", "400")
    assert status == 0
    assert any(one["kind"] == "crl" for one in due["items"])


def test_a_compromise_writes_its_list_and_a_drill_its_record(run: Shell, tmp_path: Path) -> None:
    _, seal = run("seal", "create", "--owner", "云江市命令局", "--uscc", "11310000MB0X70025U", "--suite", "p256")
    _, listed = run("key", "list")
    role = next(r for r in listed["items"] if seal["es_id"] in r["name"])
    out = tmp_path / "doubt.csv"
    status, report = run("key", "compromise", role["active"], "--reason", "演示", "--out", str(out))
    assert (status, report["status"]) == (0, "done")
    assert out.read_text("utf-8").startswith("\ufeffkind,")
    status, drill = run("key", "drill", "--suite", "p256")
    assert (status, drill["status"]) == (0, "done")
    status, wrong = run("key", "compromise", role["active"], "--reason", "x", "--since", "yesterday")
    assert (status, wrong["error"]["code"]) == (2, "usage")


def test_the_roots_lists_are_signed_with_a_pin_that_lies_in_no_file(
    home: Path, run: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = home / "secrets" / "xinyin-root.pin"
    pin = secret.read_text("utf-8")
    hidden = secret.with_name("elsewhere")
    os.replace(secret, hidden)
    try:
        node = Node.open(home)
        before = node.ca.crl("root-sm2-1")
        node.ca.revocation.db.run(lambda session: _outdate(session))
        node.close()
        monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
        status, refused = run("ca", "root-login")
        assert (status, refused["error"]["code"]) == (1, "pin-refused")
        monkeypatch.setattr("sys.stdin", io.StringIO(pin))
        status, signed = run("ca", "root-login", "--minutes", "1")
        assert (status, signed["status"]) == (0, "done")
        assert "root-sm2-1" in signed["crls"]
        node = Node.open(home)
        assert node.ca.crl("root-sm2-1") != before
        node.close()
    finally:
        os.replace(hidden, secret)


def _outdate(session: Any) -> None:
    """As if an issuing CA had been revoked while the token was away."""
    from ca.models import AuthorityRow

    session.get_one(AuthorityRow, "root-sm2-1").changes += 1
