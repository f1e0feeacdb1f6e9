"""Attacks by whoever shares a watched folder: links under our names, forged notes, names that get stuck or overwrite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ceremonies.node import Node
from ceremonies.watch_config import watch_configs
from seals.workflow.drafts import NewDocument
from tests.node_home import founded_home
from tests.watch_home import APPROVAL, USCC, config, drop, look, prepare


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    opened = Node.open(founded_home("watching-attacked"))
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


def test_a_link_in_the_shared_folder_leads_nothing_elsewhere(node: Node, tmp_path: Path) -> None:
    place, victim = config(node.home, "instant"), tmp_path / "victim"
    victim.write_text("untouched")
    look(node, "instant")
    for folder in (place.outbox, place.failed):
        for name in (".a.pdf.tmp", ".a.pdf.json.tmp", ".a.pdf.txt.tmp"):
            (folder / name).symlink_to(victim)
    drop(place.inbox, "a.pdf")
    assert look(node, "instant").work() == 1
    drop(place.inbox, "a.pdf", b"no PDF")
    assert look(node, "instant").work() == 1
    assert victim.read_text() == "untouched"
    assert (names(place.outbox), names(place.failed)) == (["a.pdf", "a.pdf.json"], ["a.pdf", "a.pdf.txt"])
    assert not any(path.is_symlink() for folder in (place.outbox, place.failed) for path in folder.glob("a*"))


def test_a_forged_note_beside_a_taken_file_seals_no_other_application(node: Node) -> None:
    place = config(node.home, "people")
    folder = look(node, "people")
    handler = node.accounts.get("registration")
    wish = {"purpose": "use-seal", "department": USCC, "matter": "approval-reply", "seal_id": place.seal}
    made = node.seals.applications.submit(handler, **wish, documents=[NewDocument("theirs.pdf", APPROVAL + b"\n%9\n")])  # type: ignore[arg-type]
    forged = place.taken / "watch_forged"
    forged.mkdir()
    (forged / "mine.pdf").write_bytes(APPROVAL)
    (forged / ".application").write_text(made["id"])
    folder.work()
    assert node.seals.applications.show(handler, made["id"])["status"] == "submitted"
    own = node.seals.applications.put_under(handler, "watch:watch_forged")
    assert own not in (None, made["id"]), "the file got an application of its own"


@pytest.mark.parametrize(
    "name",
    ["公文" * 41 + ".pdf", "x" * 251 + ".pdf", "line\nbreak.pdf", "back\\slash.pdf", "no text \udcff\udcfe.pdf"],
    ids=["long-chinese", "long", "control", "backslash", "no-utf8"],
)
def test_no_name_keeps_a_document_from_coming_out(node: Node, name: str) -> None:
    place = config(node.home, "instant")
    place.inbox.mkdir(parents=True, exist_ok=True)
    Path(os.fsdecode(os.fsencode(place.inbox)), name).write_bytes(APPROVAL)
    assert look(node, "instant").work() == 1
    assert len(names(place.outbox)) == 2, names(place.failed)
    assert names(place.failed) == []
    assert list(place.taken.glob("watch_*")) == []


def test_a_text_about_one_document_is_not_written_over_another(node: Node) -> None:
    place = config(node.home, "instant")
    drop(place.inbox, "a.pdf.json")
    assert look(node, "instant").work() == 1
    first = (place.outbox / "a.pdf.json").read_bytes()
    drop(place.inbox, "a.pdf")
    assert look(node, "instant").work() == 1
    assert first.startswith(b"%PDF")
    assert (place.outbox / "a.pdf.json").read_bytes() == first
    assert len(names(place.outbox)) == 4


def test_one_spoilt_folder_keeps_no_other_document_waiting(node: Node) -> None:
    place = config(node.home, "instant")
    folder = look(node, "instant")
    spoilt = place.taken / "watch_0"
    (spoilt / ".d").mkdir(parents=True)
    drop(place.inbox, "b.pdf")
    assert folder.work() == 1
    assert "b.pdf" in names(place.outbox)
