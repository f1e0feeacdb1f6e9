"""What every surface shows of people, and to whom, is what docs/personal-data.md says: found by looking for marked values."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node_home import founded_home, serving
from tests.personal_data import looking
from tests.personal_data.marks import DEVICE, HOLDER, REPRESENTATIVE, STAFF, Datum, data
from tests.personal_data.surfaces import Marked, Surface, everything_logged, surfaces
from tests.personal_data.table import as_markdown

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "personal-data.md"

NOT_ABOUT_ANYBODY = ("errors", "receipt", "receipts", "letter that answers an enquiry")

Seen = list[tuple[Surface, dict[str, str]]]


@pytest.fixture(scope="module")
def marked() -> Iterator[Marked]:
    with everything_logged() as logged, serving(founded_home("personal-data")) as service:
        made = Marked(service, logged)
        yield made
        made.close()


@pytest.fixture(scope="module")
def columns(marked: Marked) -> tuple[Datum, ...]:
    numbers = (REPRESENTATIVE.id_number, STAFF.id_number, HOLDER.id_number)
    return data(tuple(marked.node.citizens.person_key(one) for one in numbers))


@pytest.fixture(scope="module")
def seen(marked: Marked, columns: tuple[Datum, ...]) -> Seen:
    """Every surface, looked at; what was logged meanwhile comes last."""
    found = []
    for surface in surfaces(marked):
        text = surface.look()
        assert text.strip() or surface.en == "service log", f"{surface.en} ({surface.viewer[1]}) gave nothing to look at"
        found.append((surface, {one.key: looking.found(text, one) for one in columns}))
    return found


def test_the_table_of_what_is_shown_to_whom_is_the_one_in_the_documentation(
    marked: Marked, columns: tuple[Datum, ...], seen: Seen
) -> None:
    made = as_markdown(columns, seen, {one.key: marked.kept_in(one.full) for one in columns})
    if os.environ.get("XINYIN_RENEW_PERSONAL_DATA"):
        DOCUMENT.write_text(made, encoding="utf-8")
    assert made == DOCUMENT.read_text("utf-8"), (
        "what is shown of people changed: look at every difference, then XINYIN_RENEW_PERSONAL_DATA=1 pytest this file"
    )


def test_the_numbers_of_representatives_and_staff_are_nowhere_at_all(marked: Marked, seen: Seen) -> None:
    for surface, shown in seen:
        assert {shown["representative_id"], shown["staff_id"]} == {looking.NOTHING}, surface.en
    secret = (REPRESENTATIVE.id_number, STAFF.id_number)
    assert marked.kept_in(secret) == []
    assert marked.files_with(secret) == []


def test_no_surface_tells_how_the_node_names_people(marked: Marked, seen: Seen, columns: tuple[Datum, ...]) -> None:
    for surface, shown in seen:
        assert shown["person"] == looking.NOTHING, surface.en
    keys = next(one for one in columns if one.key == "person").full
    naming = {"citizens", "licence_persons", "licence_grants", "licence_copies", "annotated_copies", "counter_visits"}
    assert {one.partition(".")[0] for one in marked.kept_in(keys)} <= naming
    assert marked.files_with(keys) == []


def test_traces_and_errors_hold_nothing_of_anybody(seen: Seen) -> None:
    tried = 0
    for surface, shown in seen:
        if surface.group.startswith("痕迹") or surface.en in (
            "errors",
            "receipt",
            "receipts",
            "letter that answers an enquiry",
        ):
            tried += 1
            assert set(shown.values()) == {looking.NOTHING}, (surface.en, shown)
    assert tried >= 8


def test_codes_of_a_person_show_name_and_number_masked_and_nothing_else(seen: Seen) -> None:
    for surface, shown in seen:
        if surface.en in ("code on the certificate", "code shown of the certificate", "code on a copy for one purpose"):
            assert {key for key, how in shown.items() if how != looking.NOTHING} <= {"holder", "holder_id"}
            assert looking.FULL not in shown.values(), surface.en


def test_a_counter_says_yes_or_no_before_it_shows_anything(seen: Seen) -> None:
    (asked,) = [shown for surface, shown in seen if surface.en == "counter: yes or no"]
    (looked,) = [shown for surface, shown in seen if surface.en == "counter: the licence, for a matter"]
    assert {key for key, how in asked.items() if how != looking.NOTHING} <= {"holder"}
    assert looking.FULL not in asked.values()
    assert looked["holder_id"] == looking.MASKED


def test_others_see_nothing_of_what_is_not_theirs(seen: Seen) -> None:
    others = [shown for surface, shown in seen if surface.viewer[1] in ("another citizen", "nobody")]
    assert len(others) == 3
    for shown in others:
        assert set(shown.values()) == {looking.NOTHING}


def test_the_search_would_find_what_is_there(marked: Marked, columns: tuple[Datum, ...]) -> None:
    """Each form in which a surface could hide a value, with the value in it."""
    number = next(one for one in columns if one.key == "holder_id")
    document = looking.of_pdf(marked.certificate_pdf)
    assert looking.found(document, number) == looking.FULL
    for text in (
        f"<p>{HOLDER.id_number[:6]} {HOLDER.id_number[6:14]}\n{HOLDER.id_number[14:]}</p>",
        looking.of_page("&#57;" + HOLDER.id_number[1:]),
        looking.of_json('{"a": "\\u0039' + HOLDER.id_number[1:] + '"}'),
    ):
        assert looking.found(text, number) == looking.FULL, text
    assert (
        looking.found(looking.of_json(f'["{HOLDER.id_number[:4]}************{HOLDER.id_number[16:18]}"]'), number)
        == looking.MASKED
    )
    assert marked.kept_in((DEVICE,)) != []
