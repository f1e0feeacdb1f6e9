"""Rules of recognition and enquiries from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ceremonies.node import Node
from tests.integration.test_cli_main_job import Shell
from tests.neighbour import Neighbour
from tests.node_home import EXAMPLES, founded_home

TYPE = "11100000MB0143028R001"


@pytest.fixture(scope="module")
def shell() -> Shell:
    return Shell(founded_home("cli-recognition"))


def test_rules_are_put_in_place_on_record_listed_explained_and_tested(shell: Shell, tmp_path: Path) -> None:
    assert shell.json("recognition", "list")["items"] == []
    bad = tmp_path / "zhejiang.cedar"
    text = (EXAMPLES / "recognition" / "zhejiang.cedar").read_text("utf-8")
    bad.write_text(text.replace("open-bank-account", "open-bank-acount"), encoding="utf-8")
    refused = shell.json("recognition", "put", str(bad), status=1)
    assert (refused["error"]["code"], "open-bank-acount" in refused["error"]["message"]) == ("bad-recognition", True)
    assert shell.json("recognition", "list")["items"] == [], "nothing was changed"

    made = shell.json("recognition", "put", str(EXAMPLES / "recognition" / "zhejiang.cedar"))
    assert (made["status"], made["rules"]) == ("in-place", 5)
    assert len(shell.json("recognition", "list")["items"]) == 5
    (leaf,) = shell.json("audit", "list", "--kind", "recognition.changed")["items"]
    assert leaf["data"]["digest"] == made["digest"]

    assert shell.json("audit", "verify")["status"] == "whole"
    placed = shell.home / "recognition" / "zhejiang.cedar"
    for edited in (placed.read_text("utf-8") + "\n// edited by hand\n", ""):
        kept = placed.read_text("utf-8")
        placed.write_text(edited, encoding="utf-8")
        found = shell.json("audit", "verify", status=1)
        assert [one["code"] for one in found["findings"]] == ["recognition-off-record"]
        placed.write_text(kept, encoding="utf-8")

    asked = ("recognition", "explain", "--type", "business-licence", "--matter")
    elsewhere = "330000"
    accepted = shell.json(*asked, "park-entry", "--region", elsewhere, "--type", "13100000MB0X79995F001")
    assert (accepted["outcome"], accepted["rule"]) == ("accept", "disability-certificate-everywhere")
    refused = shell.json(*asked, "road-transport-permit", "--region", "320000", status=20)
    assert (refused["outcome"], refused["type"]) == ("refuse", TYPE)
    assert shell.json(*asked, "hire-staff", "--region", "320000", status=10)["outcome"] == "none"

    found = shell.json("recognition", "test", str(EXAMPLES / "recognition"))
    assert (found["status"], found["cases"], found["rules_without_case"]) == ("passed", 8, [])
    assert shell.json("recognition", "test", status=1)["status"] == "no-cases", "the node has rules and no cases of its own"


def test_an_enquiry_is_sent_listed_and_waits_while_the_other_side_is_away(shell: Shell) -> None:
    node = Node.open(shell.home)
    try:
        neighbour = Neighbour(node)
        licence = neighbour.licence
    finally:
        node.close()
    made = shell.json(
        "enquiry", "send", "--region", "330000", "--identifier", licence, "--agrees", "holder=某某", "--file",
        str(EXAMPLES / "approval.pdf"), "--matter", "open-bank-account", "--as", "window",
    )  # fmt: skip
    assert (made["status"], made["delivery"], made["asks"]) == ("open", "waiting", ["holder"])
    assert made["delivery_error"], "nothing listens there"
    assert [one["id"] for one in shell.json("enquiry", "list", "--direction", "out")["items"]] == [made["id"]]
    assert shell.json("enquiry", "show", made["id"], "--as", "window")["matter"] == "open-bank-account"
    assert shell.json("enquiry", "answer", made["id"], status=1)["error"]["code"] == "enquiry-answered"
    bad = shell.json("enquiry", "send", "--region", "330000", "--identifier", licence, "--agrees", "holder", status=2)
    assert bad["error"]["code"] == "usage"
    assert shell.json("enquiry", "work") == {"answered": 0, "delivered": 0}
