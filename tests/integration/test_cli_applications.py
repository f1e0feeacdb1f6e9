"""An application from the command line, from hand-in to delivery, as ``--as ACCOUNT`` one person after another."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ceremonies.sample import APPROVER, sample_uscc
from tests.integration.test_cli_main_job import Shell
from tests.node_home import EXAMPLES, REGION, founded_home

OWNER = sample_uscc(REGION, APPROVER)


@pytest.fixture(scope="module")
def shell() -> Shell:
    return Shell(founded_home("applications"))


def test_an_application_goes_from_hand_to_hand_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    seal = shell.json("seal", "create", "--owner", APPROVER, "--uscc", OWNER, "--suite", "p256")
    wish = ("--purpose", "use-seal", "--department", OWNER, "--seal", seal["id"], "--matter", "approval-reply")
    file = ("--file", str(EXAMPLES / "approval.pdf"), "--at", "2,137,175", "--number", "云江审批〔2026〕9号")
    made = shell.json("application", "submit", *wish, *file, "--applicant", "某某公司", "--as", "handler")
    at = made["id"]
    assert shell.json("application", "sign-off", at, "--as", "handler", status=1)["error"]["code"] == "application-state"
    assert [one["id"] for one in shell.json("application", "list", "--todo", "--as", "reviewer")["items"]] == [at]
    returned = shell.json("application", "return", at, "--reason", "文号有误", "--as", "reviewer")
    assert returned["status"] == "returned"
    assert shell.json("application", "amend", at, "--number", "云江审批〔2026〕10号", "--as", "handler")["round"] == 2
    shell.json("application", "review", at, "--as", "reviewer")
    shell.json("application", "sign-off", at, "--note", "同意", "--as", "signer")
    shown = shell.run("application", "show", at, "--as", "keeper").stdout
    for words in ("已签发", "等待办理: 样本 印章管理员", "云江审批〔2026〕10号", "▶ 用印", "✓ 签发"):
        assert words in shown
    out = tmp_path / "sealed"
    assert shell.json("application", "seal", at, "--out", str(out), "--as", "keeper")["status"] == "sealed"
    (sealed,) = out.iterdir()
    assert shell.json("verify", str(sealed))["answer"]["decision"] == "accept"
    shell.json("application", "deliver", at, "--recipient", "某某公司", "--receipt", "窗口领取", "--as", "handler")
    assert "已送达" in shell.run("application", "track", made["track_code"]).stdout
    table = tmp_path / "register.csv"
    shell.json("application", "register", "--q", "某某公司", "--csv", str(table), "--as", "keeper")
    rows = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
    assert [(row["文号"], row["申请人"], row["经办人"]) for row in rows] == [
        ("云江审批〔2026〕10号", "某某公司", "样本 经办人")
    ]
    assert "联合发文" in shell.run("application", "matters").stdout


def test_a_document_kept_elsewhere_is_sealed_once_by_naming_its_application(shell: Shell, tmp_path: Path) -> None:
    seal = shell.json("seal", "list")["items"][0]["id"]
    approval = str(EXAMPLES / "approval.pdf")
    wish = ("--purpose", "use-seal", "--department", OWNER, "--seal", seal, "--document", approval)
    at = shell.json("application", "submit", *wish, "--as", "handler")["id"]
    shell.json("application", "sign-off", at, "--as", "signer")
    use = ("seal", "apply", approval, "--seal", seal, "--application", at, "--at", "1,100,100", "--as", "keeper")
    first = shell.json(*use, "--out", str(tmp_path / "a.pdf"))
    second = shell.json(*use, "--out", str(tmp_path / "b.pdf"))
    assert first["id"] == second["id"]
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert shell.json("application", "show", at, "--as", "keeper")["status"] == "sealed"
