"""A PDF put into a watched folder comes out sealed when it may be, and otherwise with a sentence that says why not."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ceremonies.config import FILE
from ceremonies.node import Node
from ceremonies.watch_config import watch_configs
from crypto.errors import Misconfigured
from people.errors import NoSuchAccount
from tests.node_home import founded_home
from tests.watch_home import APPROVAL, config, drop, look, prepare
from verify.service import verify_bytes


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    opened = Node.open(founded_home("watching"))
    prepare(opened, tmp_path_factory.mktemp("folders"))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def emptied(node: Node) -> Iterator[None]:
    yield
    for one in watch_configs(node.home):
        shutil.rmtree(one.inbox.parent, ignore_errors=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_document_of_an_instant_matter_comes_out_sealed_with_what_tells_of_it(node: Node) -> None:
    place = config(node.home, "instant")
    drop(place.inbox, "通知书 1.pdf")
    assert look(node, "instant").work() == 1
    assert (names(place.inbox), names(place.outbox), names(place.failed)) == ([], ["通知书 1.pdf", "通知书 1.pdf.json"], [])
    sealed = (place.outbox / "通知书 1.pdf").read_bytes()
    assert verify_bytes(sealed, name="a.pdf", context=node.verification_context())["verdict"] == "TOTAL-PASSED"
    told = json.loads((place.outbox / "通知书 1.pdf.json").read_text("utf-8"))
    shown = node.seals.applications.show(node.actor(None), told["application"])
    assert shown["documents"][0]["impression_id"] == told["impression"]
    signed_off = next(step for step in shown["steps"] if step["step"] == "sign-off")
    assert signed_off["rule"] == "instant-registration-notice", "the rule itself is on record as the sign-off"


def test_what_people_decide_waits_for_them_and_is_then_sealed(node: Node) -> None:
    place = config(node.home, "people")
    drop(place.inbox, "批复.pdf")
    worker = look(node, "people")
    assert worker.work() == 0
    assert (worker.waiting(), names(place.inbox), names(place.outbox)) == (1, [], [])
    (waiting,) = [one for one in node.seals.applications.list(node.actor(None)).items if one["title"] == "批复"]
    node.seals.applications.review(node.accounts.get("reviewer"), waiting["id"])
    node.seals.applications.sign_off(node.accounts.get("signer"), waiting["id"])
    assert look(node, "people").work() == 1
    assert names(place.outbox) == ["批复.pdf", "批复.pdf.json"]


@pytest.mark.parametrize("verb", ["return_", "refuse"])
def test_what_people_send_back_comes_back_with_their_reason(node: Node, verb: str) -> None:
    place = config(node.home, "people")
    drop(place.inbox, f"{verb}.pdf")
    look(node, "people").work()
    (waiting,) = [one for one in node.seals.applications.list(node.actor(None)).items if one["title"] == verb]
    getattr(node.seals.applications, verb)(node.accounts.get("reviewer"), waiting["id"], reason="文号缺失")
    assert look(node, "people").work() == 1
    assert names(place.failed) == [f"{verb}.pdf", f"{verb}.pdf.txt"]
    text = (place.failed / f"{verb}.pdf.txt").read_text("utf-8")
    assert "文号缺失" in text
    assert waiting["id"] in text
    assert (place.failed / f"{verb}.pdf").read_bytes() == APPROVAL
    assert look(node, "people").work() == 0


@pytest.mark.parametrize(
    ("name", "data"), [("a.pdf", b"no document"), ("b.docx", b"PK\x03\x04"), ("empty.pdf", b""), ("坏.pdf", APPROVAL[:500])]
)
def test_what_cannot_be_sealed_comes_back_with_a_sentence_in_both_languages(node: Node, name: str, data: bytes) -> None:
    place = config(node.home, "instant")
    drop(place.inbox, name, data)
    assert look(node, "instant").work() == 1
    assert names(place.failed) == sorted([name, f"{name}.txt"])
    zh, en = (place.failed / f"{name}.txt").read_text("utf-8").splitlines()[:2]
    assert zh.endswith("。")
    assert en.endswith(".")
    assert (place.failed / name).read_bytes() == data


def test_a_link_is_never_followed(node: Node, tmp_path: Path) -> None:
    place = config(node.home, "instant")
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(APPROVAL)
    place.inbox.mkdir(parents=True)
    (place.inbox / "link.pdf").symlink_to(secret)
    os.mkfifo(place.inbox / "pipe.pdf")
    assert look(node, "instant").work() == 2
    assert names(place.failed) == ["link.pdf", "link.pdf.txt", "pipe.pdf", "pipe.pdf.txt"]
    assert names(place.outbox) == []


def test_a_file_that_still_changes_is_left_alone(node: Node) -> None:
    from dataclasses import replace

    from ceremonies.watching import WatchedFolder

    place = replace(config(node.home, "instant"), stable_seconds=0.6)
    worker = WatchedFolder(node, place)
    growing = place.inbox / "a.pdf"
    for part in (APPROVAL[:1000], APPROVAL[:2000], APPROVAL):
        growing.write_bytes(part)
        assert worker.work() == 0
        time.sleep(0.2)
    (place.inbox / "b.pdf.part").write_bytes(APPROVAL)
    (place.inbox / ".c.pdf").write_bytes(APPROVAL)
    time.sleep(0.7)
    assert worker.work() == 1
    assert sorted(path.name for path in place.inbox.iterdir()) == [".c.pdf", ".taken", "b.pdf.part"]


def test_a_document_that_nobody_foresaw_waits_and_keeps_no_other_from_its_end(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = config(node.home, "instant")
    drop(place.inbox, "a.pdf")
    drop(place.inbox, "b.pdf")
    submit = node.seals.applications.submit

    def stumbling(*arguments: Any, **options: Any) -> Any:
        if options["title"] == "a":
            raise RuntimeError("a fault of our own")
        return submit(*arguments, **options)

    monkeypatch.setattr(node.seals.applications, "submit", stumbling)
    worker = look(node, "instant")
    assert (worker.work(), worker.waiting()) == (1, 1)
    monkeypatch.undo()
    assert look(node, "instant").work() == 1
    assert names(place.outbox) == ["a.pdf", "a.pdf.json", "b.pdf", "b.pdf.json"]


def test_nothing_that_lies_there_is_written_over(node: Node) -> None:
    place = config(node.home, "instant")
    for _ in range(2):
        drop(place.inbox, "a.pdf")
        assert look(node, "instant").work() == 1
    place.outbox.joinpath("a.pdf").write_bytes(b"of somebody else")
    drop(place.inbox, "a.pdf")
    assert look(node, "instant").work() == 1
    pdfs = [name for name in names(place.outbox) if name.endswith(".pdf")]
    assert len(pdfs) == 3
    assert (place.outbox / "a.pdf").read_bytes() == b"of somebody else"


def test_a_folder_whose_account_is_gone_takes_nothing_and_fails_nothing(node: Node) -> None:
    from dataclasses import replace

    from ceremonies.watching import WatchedFolder

    place = replace(config(node.home, "instant"), account="nobody")
    drop(place.inbox, "a.pdf")
    with pytest.raises(NoSuchAccount):
        WatchedFolder(node, place).work()
    assert names(place.inbox) == ["a.pdf"]


GOOD = {"name": "a", "in": "i", "out": "o", "failed": "f", "account": "x", "seal": "y"}


@pytest.mark.parametrize(
    "change",
    [
        {"seal": None},
        {"sael": "y"},
        {"copies": "two"},
        {"out": "i"},
        {"at": "1,2"},
        {"at": "1,2,3", "keyword": "章"},
        {"straddle": "middle"},
    ],
)
def test_a_folder_that_is_written_down_wrongly_is_told_with_its_file(tmp_path: Path, change: dict[str, str | None]) -> None:
    values = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    text = "[[watch]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    (tmp_path / FILE).write_text(text, "utf-8")
    with pytest.raises(Misconfigured, match=FILE):
        watch_configs(tmp_path)
