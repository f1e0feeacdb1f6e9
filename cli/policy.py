"""``xinyin policy …``: do the rules say what they are meant to say, and what do they say of one wish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened
from crypto.errors import Usage

if TYPE_CHECKING:
    from rich.console import Console

    from policies.authorise import Decision, Weighed
    from policies.cases import Outcome

app = typer.Typer(help="规则：测试、说明、列出 / the rules: test, explain, list")


@app.command("test")
def run_cases(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]…", help="用例文件；默认为自带用例 / case files")] = None,
) -> int:
    """用例逐条询问规则 / ask the rules every case.

    退出码 / exit status: 0 全部符合 all as expected, 1 有不符 some are not.
    """
    from policies import cases
    from policies.authorise import MODES, Authoriser

    authorisers = {mode: Authoriser(mode) for mode in MODES}
    outcomes = cases.run(cases.load(files=files or ()), authorisers)
    failed = [one for one in outcomes if not one.ok]
    untested = cases.without_case(outcomes, authorisers["development"].rules)
    failures = [_failure(one) for one in failed]
    document = {
        "status": "passed" if not failed else "failed",
        "cases": len(outcomes),
        "failed": failures,
        "rules": len(authorisers["development"].rules),
        "rules_without_case": untested,
    }

    def human(console: Console) -> None:
        for one in failures:
            console.print(f"[red]✘[/] {one['name']} ({one['file']}, {one['mode']}, {one['action']})", highlight=False)
            console.print(f"    {STATE.pick('应为', 'wanted')}: {one['wanted']}; {STATE.pick('实为', 'got')}: {one['got']}")
        mark = "[red]✘[/]" if failed else "[green]✔[/]"
        zh = f"{len(outcomes) - len(failed)}/{len(outcomes)} 个用例符合，{document['rules']} 条规则"
        en = f"{len(outcomes) - len(failed)} of {len(outcomes)} cases as expected, {document['rules']} rules"
        console.print(f"{mark} {STATE.pick(zh, en)}")
        if untested and not files:
            console.print(f"  {STATE.pick('没有用例的规则', 'rules without a case')}: {', '.join(untested)}")

    emit(document, human)
    return 1 if failed else 0


@app.command("explain")
def explain(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="操作，如 seal.apply / such as seal.apply")],
    of: Annotated[str | None, typer.Option("--of", metavar="ID", help="对象编号：印章、申请、证照、密钥… / the object")] = None,
    roles: Annotated[list[str] | None, typer.Option("--role", help="假设的角色（不用 --as）/ a supposed role")] = None,
    department: Annotated[str | None, typer.Option("--department", help="假设所属部门 / of this department")] = None,
    facts: Annotated[list[str] | None, typer.Option("--fact", metavar="NAME=VALUE", help="对象的属性 / of the object")] = None,
    circumstances: Annotated[
        list[str] | None, typer.Option("--with", metavar="NAME=VALUE", help="情形，如 application_state=signed-off")
    ] = None,
) -> int:
    """说明能否执行、依据哪条规则、缺什么、该找谁 / allowed or not, by which rule, what is missing, whom to ask.

    以 --as 指定账户；退出码 / exit status: 0 允许 allowed, 1 不允许 not allowed.
    """
    from ceremonies.facts import facts_of
    from policies.cases import Someone

    with opened() as (node, actor):
        who: Any = actor
        if roles is not None:
            reach = frozenset({department} if department else ())
            who = Someone("account_supposed", roles=frozenset(roles), departments=reach, region=node.region)
        resource, context = facts_of(node, of) if of else ({"region": node.region}, {})
        resource |= _pairs(facts)
        context |= {"matter": STATE.matter or context.get("matter", "default")} | _pairs(circumstances)
        authoriser = node.authoriser
        decision = authoriser.decide(who, action, resource, context)
        weighed = authoriser.weigh(who, action, resource, context)
    emit(_explained(decision, weighed, resource, context), lambda console: _print(console, decision, weighed))
    return 0 if decision.allowed else 1


@app.command("list")
def list_rules(
    action: Annotated[str | None, typer.Option("--action", help="只看涉及此操作的 / only those about this action")] = None,
) -> None:
    """全部规则的原意 / every rule in words."""
    from policies.authorise import Authoriser

    rules = [rule for rule in Authoriser("development").rules.values() if action is None or rule.covers(action)]
    columns = (("id", "规则", "Rule"), ("effect", "效果", "Effect"), ("says", "含义", "Says"))
    emit_list(
        (
            {
                "id": rule.id,
                "effect": rule.effect,
                "says": STATE.pick(rule.zh, rule.en).replace("\n", " "),
                "zh": rule.zh,
                "en": rule.en,
                "actions": sorted(rule.actions) if rule.actions else None,
                "only": rule.only,
                "file": rule.file,
            }
            for rule in rules
        ),
        columns,
    )


def _failure(one: Outcome) -> dict[str, str]:
    case, said = one.case, one.decision
    wanted = f"{'allow' if case.allowed else 'deny'} {case.rule}" + (f" ({case.closest})" if case.closest else "")
    got = f"{'allow' if said.allowed else 'deny'} {said.rule}" + (f" ({said.closest})" if said.closest else "")
    return {"name": case.name, "file": case.file, "mode": case.mode, "action": case.action, "wanted": wanted, "got": got}


def _pairs(given: list[str] | None) -> dict[str, Any]:
    """``NAME=VALUE`` as facts: true, false and whole numbers as such, the rest as text. :raises Usage: another form"""
    found: dict[str, Any] = {}
    for text in given or []:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise Usage(f"“{text}” is no fact; write NAME=VALUE.", f"“{text}”不是属性；请写成 名称=值。")
        known = {"true": True, "false": False}
        found[name] = known[value] if value in known else int(value) if value.isdecimal() and len(value) < 10 else value
    return found


def _explained(decision: Decision, weighed: list[Weighed], resource: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": "allowed" if decision.allowed else "denied",
        "action": decision.action,
        "rule": decision.rule,
        "reason": decision.reason,
        "reason_zh": decision.reason_zh,
        "ask": decision.ask,
        "ask_zh": decision.ask_zh,
        "on_behalf_of": decision.on_behalf_of,
        "resource": resource,
        "context": context,
        "rules": [
            {
                "id": one.rule.id,
                "effect": one.rule.effect,
                "en": one.rule.en,
                "zh": one.rule.zh,
                "needs": [{"en": en, "zh": zh, "met": met} for en, zh, met in one.needs],
            }
            for one in weighed
        ],
    }


def _print(console: Console, decision: Decision, weighed: list[Weighed]) -> None:
    def say(zh: str | None, en: str | None) -> str:
        from rich.markup import escape

        return escape(STATE.pick(zh or "", en or "").replace("\n", " / "))

    mark = "[bold green]✔" if decision.allowed else "[bold red]✘"
    answer = say("允许", "allowed") if decision.allowed else say("不允许", "not allowed")
    console.print(f"{mark} {answer}[/]  {decision.action}", soft_wrap=True)
    console.print(f"  {say(decision.reason_zh, decision.reason)}  [dim]{decision.rule}[/]", soft_wrap=True)
    if not decision.allowed and decision.ask:
        console.print(f"  {say('请联系', 'Ask')}: {say(decision.ask_zh, decision.ask)}", soft_wrap=True)
    for one in weighed:
        if decision.allowed and one.rule.id != decision.rule:
            continue
        console.print(f"\n  [dim]{one.rule.id}[/]  {say(one.rule.zh, one.rule.en)}", soft_wrap=True)
        for en, zh, met in one.needs:
            console.print(f"    {'[green]✔[/]' if met else '[red]✘[/]'} {say(zh, en)}", soft_wrap=True)
