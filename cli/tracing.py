"""Where a document comes from, for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.state import STATE
from cli.words import beijing, worded

if TYPE_CHECKING:
    from rich.console import Console

_STEPS = {
    "application.submitted": ("经办", "handled"),
    "application.reviewed": ("审核", "reviewed"),
    "application.countersigned": ("会签", "countersigned"),
    "application.signed-off": ("签发", "signed off"),
    "application.instant": ("按规则签发（秒批）", "signed off by rule"),
    "application.amended": ("补正后重新提交", "corrected and put again"),
    "application.returned": ("退回补正", "returned to be corrected"),
    "application.refused": ("不予批准", "refused"),
    "application.withdrawn": ("撤回", "withdrawn"),
    "application.document-sealed": ("其中一份文件用印", "one of its documents sealed"),
    "application.sealed": ("用印", "sealed"),
    "application.used": ("凭此申请办理", "used"),
    "application.delivered": ("送达", "delivered"),
    "application.handed-over": ("经办人变更", "passed on to another handler"),
    "key.staged": ("生成", "made"),
    "key.proved": ("试签验证通过", "tried"),
    "key.certified": ("取得证书", "certified"),
    "key.filed": ("印章重新备案", "seal filed again"),
    "key.distributed": ("公布", "published"),
    "key.activated": ("启用", "activated"),
    "key.draining": ("收尾", "draining"),
    "key.suspended": ("立即停用", "stopped at once"),
    "key.compromised": ("失密处置", "declared compromised"),
    "key.retired": ("退役", "retired"),
    "key.destroyed": ("销毁", "destroyed"),
    "impression.voided": ("作废", "voided"),
    "impression.replaced": ("被替换", "replaced"),
}


def step_word(kind: str) -> str:
    """What happened, in the run's language; an unknown kind as it is."""
    return STATE.pick(*_STEPS.get(kind, (kind, kind))).replace("\n", " ")


def print_trace(console: Console, found: dict[str, Any]) -> None:
    """The answer, then every use of a seal behind it, the newest last."""
    good = found["status"] == "sealed"
    mark = "[green]✔[/]" if good else "[yellow]●[/]" if found["status"] != "doubtful" else "[red]✘[/]"
    console.print(f"{mark} {_pick(found)}")
    for use in found["uses"]:
        console.print()
        _print_use(console, use)


def _print_use(console: Console, use: dict[str, Any]) -> None:
    key, certificate = use["key"], use["certificate"]
    lines: list[tuple[str, str, str]] = [
        ("用印记录", "Impression", f"{use['id']} ({worded('status', use['status'])})"),
        ("印章", "Seal", f"{use['seal']['name']} ({use['seal']['id']})"),
        ("时间", "When", beijing(use["at"])),
        ("操作者", "By", _person(use["who"])),
        ("规则", "Rule", f"{use['rule']['id']}: {STATE.pick(use['rule']['zh'], use['rule']['en'])}"),
        ("事项", "Matter", _matter(use["matter"])),
    ]
    if use["licence"]:
        lines.append(("证照", "Licence", use["licence"]["identifier"]))
    if use["application"]:
        lines.append(("申请", "Application", use["application"]["id"]))
        lines += [("", "", _step(step)) for step in use["application"]["steps"]]
    if key:
        lines.append(
            (
                "密钥",
                "Key",
                f"{key['role']['name']} {key['role']['suite']} #{key['number']} ({worded('status', key['status'])})",
            )
        )
        lines += [("", "", _step(step)) for step in key["life"]]
    if certificate:
        lines.append(
            (
                "证书",
                "Certificate",
                f"{certificate['serial']} ({worded('status', certificate['status'])}) {certificate['subject']}",
            )
        )
    if use["ended"]:
        lines.append(("之后", "Afterwards", _step(use["ended"])))
    if use["leaf"]:
        lines.append(("审计记录", "Audit leaf", f"{use['leaf']['id']} #{use['leaf']['seq']}"))
    for zh, en, value in lines:
        heading = STATE.pick(zh, en).replace("\n", " ")
        console.print(f"  [dim]{heading}[/dim]  {_escaped(value)}" if heading else f"      {_escaped(value)}", soft_wrap=True)
    for check in use["checks"]:
        console.print(f"  {'[green]✔[/]' if check['ok'] else '[red]✘[/]'} {_escaped(_pick(check))}", soft_wrap=True)


def _matter(code: str) -> str:
    """A matter by what people call it, with its code."""
    from policies.matters import Matters

    found = Matters.load(STATE.home / "matters.toml").of(code)
    return f"{STATE.pick(found.zh, found.en)} ({code})".replace("\n", " ") if found.known else code


def _step(step: dict[str, Any]) -> str:
    approvers = _approvers(step["approval"])
    by = STATE.pick(f"，批准人 {approvers}", f", approved by {approvers}").replace("\n", " ") if approvers else ""
    return f"{beijing(step['at'])}  {step_word(step['kind'])}  {_person(step['who'])}{by}"


def _approvers(approval: Any) -> str:
    given = approval.get("given") if isinstance(approval, dict) else None
    names = [str(one.get("name") or one.get("officer") or "") for one in given or [] if isinstance(one, dict)]
    return "、".join(name for name in names if name)


def _person(who: dict[str, Any]) -> str:
    if who["id"] == "local-operator":
        return STATE.pick("本机操作员", "the local operator").replace("\n", " ")
    if who["id"] == "system":
        return STATE.pick("本服务", "the service").replace("\n", " ")
    return str(who["name"])


def _pick(said: dict[str, Any]) -> str:
    return STATE.pick(said["message_zh"], said["message"])


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
