"""What a person sees of a document on the terminal: labels in both languages, Beijing time, no JSON."""

from __future__ import annotations

import pytest

from cli.output import emit
from cli.state import STATE
from cli.verify import parse_time
from cli.words import beijing, sentence

LICENCE = {
    "id": "licence_1",
    "status": "withdrawn",
    "state_zh": "吊销",
    "since": "2026-11-21T16:30:00Z",
    "blob": "ab" * 32,
    "subject": "CN=云江市行政审批局,O=样本\\, 样本,C=CN",
    "valid_to": None,
    "data": {"scope": "技术服务，" * 30, "sample": True},
    "events": [{"state": "in-force", "actor": "local-operator"}, {"state": "withdrawn", "state_zh": "吊销"}],
}


@pytest.fixture
def both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STATE, "lang", "both")
    monkeypatch.setattr(STATE, "json", False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("both_languages")
def test_people_see_labels_and_beijing_time_and_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    emit(LICENCE)
    shown = capsys.readouterr().out
    assert "自 Since" in shown
    assert "2026-11-22 00:30:00+08:00" in shown
    assert "吊销 withdrawn" in shown
    assert "有效 in-force" in shown
    assert not set('{}"') & set(shown)
    assert "有效期至" not in shown, "what is empty is left out"


@pytest.mark.usefixtures("both_languages")
def test_an_identifier_is_not_broken_over_lines(capsys: pytest.CaptureFixture[str]) -> None:
    emit(LICENCE)
    assert f"  {'ab' * 32}\n" in capsys.readouterr().out


@pytest.mark.usefixtures("both_languages")
def test_names_are_set_apart_but_a_comma_inside_a_name_stays(capsys: pytest.CaptureFixture[str]) -> None:
    emit(LICENCE)
    assert "CN=云江市行政审批局, O=样本\\, 样本, C=CN" in capsys.readouterr().out


def test_a_shown_time_can_be_given_back_to_the_command_line() -> None:
    assert parse_time(beijing("2026-11-21T16:30:00Z")) == parse_time("2026-11-21T16:30:00Z")


@pytest.mark.usefixtures("both_languages")
def test_a_sentence_of_a_verdict_tells_beijing_time() -> None:
    said = sentence("证照自 2026-11-21T16:30:00Z 起失效。", "The licence ended at 2026-11-21T16:30:00Z.")
    assert said == "证照自 2026-11-22 00:30:00+08:00 起失效。\nThe licence ended at 2026-11-22 00:30:00+08:00."


def test_the_json_document_keeps_its_own_names(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    monkeypatch.setattr(STATE, "json", True)
    emit(LICENCE)
    assert json.loads(capsys.readouterr().out) == LICENCE


def test_every_state_that_a_room_names_for_its_lists_has_a_chinese_word() -> None:
    from cli.words import _STATES
    from hsm.schemas import KeyState

    assert {state.value for state in KeyState} <= set(_STATES)
