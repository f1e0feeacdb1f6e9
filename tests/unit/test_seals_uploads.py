"""Drafts: what is laid down before an application is handed in, for one account, bounded, and gone when it is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto.errors import BadInput, TooLarge
from seals import uploads as room
from seals.uploads import NoSuchUpload, Uploads, file_name


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "drafts")


def test_a_draft_is_its_makers_alone(uploads: Uploads) -> None:
    made = uploads.create("account_a", [("a.pdf", b"one")])
    assert uploads.data(uploads.get("account_a", made.id), 1) == b"one"
    for account, name in (("account_b", made.id), ("account_a", "draft_00000000"), ("account_a", "../../etc")):
        with pytest.raises(NoSuchUpload):
            uploads.get(account, name)
    assert uploads.list("account_b") == []


def test_the_same_file_twice_is_one_document(uploads: Uploads) -> None:
    made = uploads.create("a", [("a.pdf", b"one"), ("again.pdf", b"one"), ("b.pdf", b"two")])
    assert [one.name for one in made.documents] == ["a.pdf", "b.pdf"]
    assert len(uploads.add(made, [("c.pdf", b"two")]).documents) == 2


def test_fields_move_up_when_a_document_is_left_out(uploads: Uploads) -> None:
    values = {"title": "t", "x-1": "10", "x-2": "20", "x-3": "30", "how-3": "straddle"}
    made = uploads.create("a", [("a.pdf", b"1"), ("b.pdf", b"2"), ("c.pdf", b"3")], values=values)
    left = uploads.remove(made, 2)
    assert [one.name for one in left.documents] == ["a.pdf", "c.pdf"]
    assert left.values == {"title": "t", "x-1": "10", "x-2": "30", "how-2": "straddle"}
    assert uploads.get("a", made.id) == left
    with pytest.raises(BadInput):
        uploads.remove(uploads.remove(left, 1), 1)


def test_what_is_too_much_is_refused_and_leaves_nothing(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput):
        uploads.create("a", [])
    with pytest.raises(BadInput):
        uploads.create("a", [(f"{n}.pdf", b"%d" % n) for n in range(21)])
    monkeypatch.setattr(room, "DRAFT_BYTES_PER_ACCOUNT", 10)
    with pytest.raises(TooLarge):
        uploads.create("a", [("a.pdf", b"eleven bytes")])
    assert list(uploads.directory.glob("*")) == []
    kept = uploads.create("a", [("a.pdf", b"six by")])
    with pytest.raises(TooLarge):
        uploads.add(kept, [("b.pdf", b"more than ten")])
    assert len(list((uploads.directory / kept.id).glob("*.pdf"))) == 1
    uploads.create("b", [("a.pdf", b"six by")])


def test_only_so_many_drafts(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DRAFTS_PER_ACCOUNT", 2)
    made = [uploads.create("a", [("a.pdf", b"%d" % n)]) for n in range(2)]
    with pytest.raises(BadInput):
        uploads.create("a", [("a.pdf", b"three")])
    uploads.discard(made[0])
    uploads.create("a", [("a.pdf", b"three")])


def test_what_was_handed_in_meanwhile_is_not_written_again(uploads: Uploads) -> None:
    made = uploads.create("a", [("a.pdf", b"one")])
    uploads.discard(made)
    with pytest.raises(NoSuchUpload):
        uploads.save(made)


def test_a_damaged_draft_is_not_there(uploads: Uploads) -> None:
    made = uploads.create("a", [("a.pdf", b"one")])
    (uploads.directory / made.id / "draft.json").write_text("{")
    with pytest.raises(NoSuchUpload):
        uploads.get("a", made.id)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.pdf", "a.pdf"),
        ("C:\\docs\\b.pdf", "b.pdf"),
        ("../x/c.pdf", "c.pdf"),
        ("\u202efdp.exe\n.pdf", "fdp.exe.pdf"),
        ("/", "document.pdf"),
    ],
)
def test_names_are_one_line_without_a_path(given: str, kept: str) -> None:
    assert file_name(given) == kept
