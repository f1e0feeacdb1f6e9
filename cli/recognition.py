"""``xinyin recognition …``: whose licences count here, for what, and do the rules say so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import opened
from crypto.errors import Usage

if TYPE_CHECKING:
    from rich.console import Console

    from policies.recognition import Outcome, Recognition

app = typer.Typer(help="互认规则：列出、说明、测试、更新 / rules about what other regions issued")

_WORDS = {
    "accept": ("互认", "accepted", "green", "✔"),
    "conditions": ("附条件互认", "accepted on a condition", "yellow", "!"),
    "refuse": ("不互认", "refused", "red", "✘"),
    "none": ("没有规则", "no rule", "yellow", "?"),
}


@app.command("list")
def list_rules() -> None:
    """本节点的互认规则 / the rules of this node."""
    columns = (
        ("id", "规则", "Rule"),
        ("outcome", "结果", "Outcome"),
        ("regions", "地区", "Region"),
        ("types", "证照类型", "Type"),
        ("matters", "事项", "Matters"),
        ("says", "含义", "Says"),
    )
    with opened() as (node, _):
        rules = node.recognition.rules()
        items = [{**vars(rule), "says": STATE.pick(rule.zh, rule.en)} for rule in rules.rules.values()]
    emit_list(items, columns)


@app.command("explain")
def explain(
    type: Annotated[str, typer.Option("--type", help="证照类型（代码、名称或编号）/ type of licence")],
    region: Annotated[str, typer.Option("--region", help="签发地区 / region that issued it")],
    at: Annotated[datetime | None, typer.Option("--at", help="在此时间 / at this time")] = None,
) -> int:
    """某地区某类证照用于某事项（--matter）是否互认、依据哪条规则 / does it count for --matter, and by which rule.

    退出码 / exit status: 0 互认 accepted, 10 附条件或没有规则 on a condition or no rule, 20 不互认 refused.
    """
    if STATE.matter is None:
        raise Usage("Name the matter: --matter CODE.", "请用 --matter 指明事项。")
    with opened() as (node, _):
        moment = (at if at is None or at.tzinfo else at.astimezone()) or datetime.now(UTC)
        found = node.recognition.judge(_type_code(type), region, STATE.matter, moment)
    assert found is not None
    said = {"status": found.outcome, "type": _type_code(type), "region": region, "matter": STATE.matter, **found.to_dict()}
    emit(said, lambda console: _print(console, found))
    return {"accept": 0, "refuse": 20}.get(found.outcome, 10)


@app.command("test")
def run_cases(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="规则目录；默认为本节点的 / a folder of rules")
    ] = None,
) -> int:
    """用 tests/*.toml 中的用例逐条询问规则 / ask the rules every case of tests/*.toml.

    退出码 / exit status: 0 全部符合 all as expected, 1 有不符或没有用例 some are not, or there are none.
    """
    from policies import recognition
    from policies.presenting import matters

    home = STATE.home if STATE.home.is_dir() else None
    where = folder or STATE.home / recognition.FOLDER
    rules = recognition.RecognitionRules.of_folder(where, matters(home))
    outcomes = recognition.run_cases(rules, recognition.load_cases(where))
    failed = [_failure(one) for one in outcomes if not one.ok]
    untested = sorted(set(rules.rules) - {str(one.found.rule) for one in outcomes})
    document = {
        "status": "passed" if outcomes and not failed else "failed" if outcomes else "no-cases",
        "cases": len(outcomes),
        "failed": failed,
        "rules": len(rules.rules),
        "rules_without_case": untested,
        "digest": rules.digest,
    }

    def human(console: Console) -> None:
        for one in failed:
            console.print(f"[red]✘[/] {one['name']} ({one['file']}): {one['wanted']} ≠ {one['got']}", highlight=False)
        mark = "[green]✔[/]" if outcomes and not failed else "[red]✘[/]"
        zh = f"{len(outcomes) - len(failed)}/{len(outcomes)} 个用例符合，{len(rules.rules)} 条规则"
        en = f"{len(outcomes) - len(failed)} of {len(outcomes)} cases as expected, {len(rules.rules)} rules"
        console.print(f"{mark} {STATE.pick(zh, en)}")
        if untested:
            console.print(f"  {STATE.pick('没有用例的规则', 'rules without a case')}: {', '.join(untested)}")

    emit(document, human)
    return 0 if document["status"] == "passed" else 1


@app.command("put")
def put(
    file: Annotated[Path, typer.Argument(metavar="RULES.CEDAR", help="规则文件 / a file of rules")],
) -> None:
    """检查规则文件并放入本节点，记入审计日志 / check a file of rules, put it in place, on record."""
    from ceremonies.recognising import put as put_rules
    from cli.verify import read_file

    text = read_file(file, limit=1 << 20).decode("utf-8", "replace")
    with opened() as (node, actor):
        emit(put_rules(node, actor, file.name, text))


def _type_code(named: str) -> str:
    """Of the catalogue by id, name or code; anything else is taken for a code of another region's."""
    from licences.catalogue import catalogue

    for kind in catalogue().values():
        if named in (kind.id, kind.name, kind.type_code):
            return kind.type_code
    return named


def _failure(one: Outcome) -> dict[str, Any]:
    wanted = one.case.outcome + (f" ({one.case.rule})" if one.case.rule else "")
    got = one.found.outcome + (f" ({one.found.rule})" if one.found.rule else "")
    return {"name": one.case.name, "file": one.case.file, "wanted": wanted, "got": got}


def _print(console: Console, found: Recognition) -> None:
    from rich.markup import escape

    zh, en, colour, mark = _WORDS[found.outcome]
    console.print(f"[bold {colour}]{mark} {STATE.pick(zh, en)}[/]", soft_wrap=True)
    console.print(f"  {escape(STATE.pick(found.words_zh, found.words))}  [dim]{found.rule or ''}[/]", soft_wrap=True)
    if found.conditions:
        console.print(f"  {STATE.pick('条件', 'Condition')}: {escape(STATE.pick(found.conditions_zh or '', found.conditions))}")
    if found.basis:
        console.print(f"  {STATE.pick('依据', 'Basis')}: {escape(found.basis)}", soft_wrap=True)
    if found.local_type:
        console.print(f"  {STATE.pick('本地对应类型', 'Counts here as')}: {found.local_type}")
