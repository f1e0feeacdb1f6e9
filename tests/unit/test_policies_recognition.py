"""Rules of recognition: type × region × matter × day, in Cedar, each with its words, and what is refused on reading them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from licences.catalogue import catalogue
from policies import recognition
from policies.presenting import matters
from policies.recognition import BadRecognition, RecognitionRules, RegionRecognition
from tests.node_home import EXAMPLES

SAMPLE = EXAMPLES / "recognition"
LICENCE = "11100000MB0143028R001"
NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
RULE = """@id("r") @zh("可以。") @en("Yes.") @basis("协议") permit (
  principal in Region::"310000", action == Action::"open-bank-account", resource == LicenceType::"11100000MB0143028R001");"""


def rules(text: str) -> RecognitionRules:
    return RecognitionRules({"own.cedar": text}, matters())


def test_the_sample_rules_say_what_their_cases_expect() -> None:
    found = RecognitionRules.of_folder(SAMPLE, matters())
    outcomes = recognition.run_cases(found, recognition.load_cases(SAMPLE))
    assert len(outcomes) == 8
    assert [one.case.name for one in outcomes if not one.ok] == []


def test_the_sample_cases_speak_of_every_outcome() -> None:
    assert {case.outcome for case in recognition.load_cases(SAMPLE)} == set(recognition.OUTCOMES)


def test_the_sample_cases_ask_about_types_that_the_catalogue_has() -> None:
    known = {kind.type_code for kind in catalogue().values()}
    assert {case.type_code for case in recognition.load_cases(SAMPLE)} == known


def test_an_accepted_document_has_its_words_its_basis_and_the_type_it_counts_as() -> None:
    found = rules(RULE.replace("@id", '@local_type("L-1") @id')).judge(LICENCE, "310115", "open-bank-account", NOW)
    assert (found.outcome, found.rule, found.basis, found.local_type) == ("accept", "r", "协议", "L-1")
    assert (found.words, found.words_zh) == ("Yes.", "可以。")


@pytest.mark.parametrize(
    ("type_code", "region", "matter"),
    [
        ("13100000MB0X79995F001", "310000", "open-bank-account"),
        (LICENCE, "330000", "open-bank-account"),
        (LICENCE, "310000", "tax-registration"),
        (LICENCE, "310000", "no-such-matter"),
        (LICENCE, "", "open-bank-account"),
    ],
)
def test_what_no_rule_speaks_of_is_not_recognised(type_code: str, region: str, matter: str) -> None:
    assert rules(RULE).judge(type_code, region, matter, NOW).outcome == "none"


def test_a_refusal_prevails_over_a_condition_and_a_condition_over_acceptance() -> None:
    condition = RULE.replace('@id("r")', '@id("c") @conditions_zh("带原件。") @conditions_en("Bring it.")')
    refusal = RULE.replace('@id("r")', '@id("f")').replace("permit", "forbid")
    found = rules(RULE + condition).judge(LICENCE, "310000", "open-bank-account", NOW)
    assert (found.outcome, found.conditions_zh) == ("conditions", "带原件。")
    found = rules(RULE + condition + refusal).judge(LICENCE, "310000", "open-bank-account", NOW)
    assert (found.outcome, found.rule, found.local_type) == ("refuse", "f", None)


def test_a_rule_ends_with_its_day() -> None:
    ending = RULE.rstrip(";") + ' when { context.at < datetime("2027-01-01T00:00:00+0800") };'
    before, after = datetime(2026, 12, 31, 15, 59, tzinfo=UTC), datetime(2026, 12, 31, 16, tzinfo=UTC)
    assert rules(ending).judge(LICENCE, "310000", "open-bank-account", before).outcome == "accept"
    assert rules(ending).judge(LICENCE, "310000", "open-bank-account", after).outcome == "none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULE.replace("open-bank-account", "open-bank-acount"), "open-bank-acount"),
        (RULE.replace('@basis("协议")', ""), "@basis"),
        (RULE.replace('@en("Yes.")', ""), "@en"),
        (RULE.replace("@id", '@condition_zh("带原件") @id'), "condition_zh"),
        (RULE.replace("@id", '@conditions_zh("带原件") @id'), "both languages"),
        (RULE.replace("permit", "forbid").replace("@id", '@conditions_zh("甲") @conditions_en("A") @id'), "belong to a permit"),
        (RULE + RULE, "two rules"),
        (RULE.rstrip(";") + " when { context.until < 3 };", "until"),
        ("permit (", "parsed"),
        (RULE.replace("Region::", "Province::"), "Province"),
    ],
)
def test_rules_that_would_not_do_what_they_say_are_not_read(text: str, said: str) -> None:
    with pytest.raises(BadRecognition) as caught:
        rules(text)
    assert said in caught.value.message


def test_a_node_needs_no_rule_for_what_its_own_region_issued(tmp_path: Path) -> None:
    found = RegionRecognition(tmp_path, "330000").judge(LICENCE, "330000", "open-bank-account", NOW)
    assert found is not None
    assert (found.outcome, found.rule) == ("accept", recognition.OWN_REGION)


def test_a_changed_rule_counts_from_the_next_question(tmp_path: Path) -> None:
    here = RegionRecognition(tmp_path, "330000")
    asked = (LICENCE, "310000", "open-bank-account", NOW)
    assert _outcome(here, asked) == "none"
    file = tmp_path / "recognition" / "own.cedar"
    file.parent.mkdir()
    file.write_text(RULE, encoding="utf-8")
    assert _outcome(here, asked) == "accept"
    file.write_text(RULE.replace("permit", "forbid"), encoding="utf-8")
    os.utime(file, (1, 1))
    assert _outcome(here, asked) == "refuse"


def test_rules_that_cannot_be_read_recognise_nothing_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "recognition").mkdir()
    (tmp_path / "recognition" / "own.cedar").write_text(RULE.replace("permit", "allow"), encoding="utf-8")
    here = RegionRecognition(tmp_path, "330000")
    found = here.judge(LICENCE, "310000", "open-bank-account", NOW)
    assert found is not None
    assert (found.outcome, found.rule) == ("none", recognition.UNREADABLE)
    with pytest.raises(BadRecognition):
        here.rules()


@pytest.mark.parametrize(
    "text", ["[[case]]\nname='x'", "[[", "[[case]]\nname='x'\ntype='t'\nregion='r'\nmatter='m'\noutcome='maybe'"]
)
def test_a_case_that_cannot_be_asked_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "own.toml").write_text(text, encoding="utf-8")
    with pytest.raises(recognition.BadRecognitionCase):
        recognition.load_cases(tmp_path)


def _outcome(here: RegionRecognition, asked: tuple[str, str, str, datetime]) -> str:
    found = here.judge(*asked)
    assert found is not None
    return found.outcome
