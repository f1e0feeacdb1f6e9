"""Notices and watched folders from the command line: a system asks to be told, an operator sees what became of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ceremonies.config import FILE
from ceremonies.sample import APPROVER, sample_uscc
from tests.integration.test_cli_main_job import Shell
from tests.node_home import EXAMPLES, REGION, founded_home
from tests.receiver import receiving

OWNER = sample_uscc(REGION, APPROVER)


@pytest.fixture(scope="module")
def shell() -> Shell:
    return Shell(founded_home("cli-notices"))


def test_a_system_is_made_asks_to_be_told_and_asks_no_more(shell: Shell) -> None:
    made = shell.json(
        "account", "create", "oa", "--system", "--role", "handler", "--role", "seal_keeper", "--department", OWNER
    )
    assert (made["kind"], made.get("password")) == ("system", None)
    with receiving() as receiver:
        with (shell.home / FILE).open("a", encoding="utf-8") as file:
            file.write(f'\n[call_backs]\nprivate_hosts = ["{receiver.host}"]\n')
        one = shell.json("subscription", "add", receiver.url, "--kind", "impression.*", "--as", "oa")
    assert (one["status"], one["kinds"]) == ("active", ["impression.*"])
    refused = shell.json("subscription", "add", "http://10.0.0.1/", "--as", "oa", status=1)
    assert refused["error"]["code"] == "bad-subscription"
    shell.json("subscription", "test", one["id"], "--as", "oa")
    assert shell.json("subscription", "deliveries", one["id"], "--as", "oa")["items"] == [], "the worker hands out"
    assert shell.json("subscription", "list")["items"][0]["id"] == one["id"], "the operator sees all"
    assert shell.json("subscription", "show", one["id"], "--as", "handler", status=1)["error"]["code"] == "no-such-subscription"
    assert shell.json("subscription", "end", one["id"], "--as", "oa")["status"] == "ended"
    assert shell.json("event", "list")["items"] == []


def test_a_folder_is_listed_and_looked_at_once(shell: Shell, tmp_path: Path) -> None:
    seal = shell.json("seal", "create", "--owner", APPROVER, "--uscc", OWNER, "--suite", "p256")["id"]
    text = f'[[watch]]\nname = "oa"\nin = "{tmp_path}/in"\nout = "{tmp_path}/out"\nfailed = "{tmp_path}/failed"\n'
    more = f'account = "oa"\nseal = "{seal}"\nmatter = "approval-reply"\nat = "2,137,175"\nstable_seconds = 0.2\n'
    with (shell.home / FILE).open("a", encoding="utf-8") as file:
        file.write(f"\n{text}{more}")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "批复.pdf").write_bytes((EXAMPLES / "approval.pdf").read_bytes())
    (tmp_path / "in" / "便条.pdf").write_bytes(b"no document")
    assert shell.json("watch", "once") == {"ended": 1}
    (folder,) = shell.json("watch", "list")["items"]
    assert (folder["name"], folder["waiting"]) == ("oa", 1)
    assert sorted(path.name for path in (tmp_path / "failed").iterdir()) == ["便条.pdf", "便条.pdf.txt"]
    assert [one["title"] for one in shell.json("application", "list", "--as", "reviewer")["items"]] == ["批复"]
