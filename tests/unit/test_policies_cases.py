"""The rules answer their cases as those say, and a case that they contradict is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import main
from policies import cases
from policies.authorise import MODES, Authoriser

AUTHORISERS = {mode: Authoriser(mode) for mode in MODES}
GOOD = """
[[case]]
name = "一个用例"
who = "keeper"
action = "seal.revoke"
mode = "production"
resource = {department = "market"}
allow = "seal-life-cycle"
"""


@pytest.mark.parametrize("outcome", cases.run(cases.load(), AUTHORISERS), ids=lambda one: f"{one.case.name}-{one.case.mode}")
def test_the_rules_answer_every_case_as_it_says(outcome: cases.Outcome) -> None:
    assert outcome.ok, outcome.decision


def test_no_rule_is_without_a_case() -> None:
    outcomes = cases.run(cases.load(), AUTHORISERS)
    assert cases.without_case(outcomes, AUTHORISERS["development"].rules) == [], "write one in policies/tests"


def test_a_case_that_the_rules_contradict_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.toml"
    file.write_text(GOOD + GOOD.replace("allow = ", "deny = "), encoding="utf-8")
    assert main(["policy", "test", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["cases"], len(told["failed"])) == ("failed", 2, 1)
    assert told["failed"][0]["got"] == "allow seal-life-cycle"


def test_the_right_answer_by_another_rule_is_not_as_expected(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(GOOD.replace('"seal-life-cycle"', '"see-own-seals"'), encoding="utf-8")
    (outcome,) = cases.run(cases.load(files=[file]), AUTHORISERS)
    assert not outcome.ok


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"keeper"', '"nobody"'),
        ("allow", "perhaps"),
        ('action = "seal.revoke"', ""),
        ("[[case]]", "[[case"),
        ('mode = "production"', 'deny = "x"'),
    ],
)
def test_a_case_file_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(cases.BadCase, match=r"own\.toml"):
        cases.load(files=[file])


def test_an_explanation_weighs_every_rule_that_could_permit_and_names_what_is_missing() -> None:
    keeper = cases.Someone("account_1", roles=frozenset({"seal_keeper"}), departments=frozenset({"market"}))
    wish = {"department": "market", "region": cases.REGION}
    weighed = AUTHORISERS["production"].weigh(keeper, "seal.apply", wish, {"application": "a"})
    assert [one.rule.id for one in weighed] == ["signed-off-application"]
    assert [met for _, _, met in weighed[0].needs] == [True, False, True]
    own = {"application": "a", "application_state": "signed-off", "handler": "account_1"}
    weighed = AUTHORISERS["production"].weigh(keeper, "seal.apply", wish, own)
    assert [one.rule.id for one in weighed] == ["signed-off-application", "handler-is-not-seal-keeper"]
    assert AUTHORISERS["production"].weigh(keeper, "no.such", wish, {}) == []
