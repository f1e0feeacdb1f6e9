"""``xinyin key …``: key roles and their generations, from the making of the next key to the end of the one before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import emit, emit_list
from cli.state import STATE
from cli.support import can_write, opened, write_out
from cli.verify import read_file
from crypto.errors import Usage
from formats.dates import BEIJING

if TYPE_CHECKING:
    from rich.console import Console

    from hsm.schemas import Generation

app = typer.Typer(help="密钥：用途、代次、轮换、停用与销毁 / key roles, generations and their rotation")
RoleId = Annotated[str, typer.Argument(metavar="ROLE", help="密钥用途 ID / key role")]
GenerationId = Annotated[str, typer.Argument(metavar="GENERATION", help="密钥代 ID / key generation")]
ApprovalId = Annotated[str | None, typer.Option("--approval", help="多人共管的批准编号 / approval by the officers")]


def _done(found: Generation) -> None:
    from ceremonies.keybook import shown

    emit(shown(found))


@app.command("list")
def list_keys() -> None:
    """列出密钥用途及其各代 / list key roles with their generations."""
    with opened() as (node, actor):
        node.authorise(actor, "key.list")
        columns = (
            ("id", "编号", "ID"),
            ("name", "名称", "Name"),
            ("purpose", "用途", "Purpose"),
            ("suite", "算法", "Suite"),
            ("generation", "现用代次", "In use"),
            ("next_generation", "下一代", "Next"),
        )
        emit_list([role | _in_use(role) for role in node.list_keys()], columns)


def _in_use(role: dict[str, Any]) -> dict[str, Any]:
    """Numbers of the generation that signs and of the one that is being got ready."""
    numbers = {g["status"]: g["number"] for g in role["generations"]}
    return {"generation": numbers.get("active"), "next_generation": numbers.get("staged")}


@app.command("plan")
def plan(role: RoleId) -> None:
    """轮换要做什么、到了哪一步、每步需要什么 / what a rotation will do, where it stands, what each step needs."""
    with opened() as (node, actor):
        found = node.rotation.plan(actor, role)
        emit(found, lambda console: _plan(console, found))


_STATES = {"done": ("✔", "已完成", "done"), "current": ("▶", "下一步", "next"), "waiting": ("·", "", "")}


def _plan(console: Console, found: dict[str, Any]) -> None:
    """The rotation as a person reads it: where it stands, each step in words with what it needs, and the next command."""

    def line(words: str) -> None:
        console.print(words, markup=False, highlight=False)

    def pick(zh: str, en: str) -> str:
        return STATE.pick(zh, en).replace("\n", " / ")  # both languages on one line

    line(pick(found["label_zh"], found["label"]) + f"  {found['id']}")
    if found["active"]:
        line(pick(f"现用第 {found['active_number']} 代", f"Generation {found['active_number']} signs") + f"  {found['active']}")
    for number, step in enumerate(found["steps"], 1):
        mark, zh, en = _STATES[step["state"]]
        line(f"\n{mark} {number}. {pick(step['name_zh'], step['name'])}  {pick(zh, en)}".rstrip())
        line(f"     {pick(step['text_zh'], step['text'])}")
        for one in step["details"]:
            line(f"     {pick(one['name_zh'], one['name'])}: {one['value']}")
        for one in step["needs"]:
            line(f"     {pick('需要：', 'Needs:')} {pick(one['text_zh'], one['text'])}")
        if step["state"] == "current":
            for command in _commands(step, found):
                line(f"     → {command}")


def _commands(step: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What to type for the step that is next."""
    target = found["id"] if step["step"] == "stage" else step["generation"] or found["target"] or "GENERATION"
    take = f"xinyin key {step['step']} {target}"
    codes = {one["code"] for one in step["needs"]}
    before = [f"xinyin key request {target} --out FILE"] if "outside-ca" in codes else []
    more = " --certificate FILE" if "outside-ca" in codes else ""
    if "approvals" not in codes:
        return [*before, take + more]
    return [*before, f"xinyin key ask {step['step']} {target}{more}", f"{take}{more} --approval ID"]


@app.command("stage")
def stage(role: RoleId, approval: ApprovalId = None) -> None:
    """在令牌内生成新一代密钥 / make the next generation in the token."""
    with opened() as (node, actor):
        _done(node.rotation.stage(actor, role, approval=approval))


@app.command("prove")
def prove(generation: GenerationId) -> None:
    """用新密钥试签并验证 / have the new key sign a test phrase, and verify it."""
    with opened() as (node, actor):
        _done(node.rotation.prove(actor, generation))


@app.command("request")
def request(
    generation: GenerationId,
    out: Annotated[Path, typer.Option("--out", help="写到（PEM）/ write the PKCS#10 request here")],
) -> None:
    """按原名称生成证书请求（PKCS#10），送外部 CA / a request to an outside CA with the names of the certificate before."""
    from formats.x509 import to_pem

    can_write(out)
    with opened() as (node, actor):
        der = node.rotation.request(actor, generation)
        write_out(out, to_pem(der, "CERTIFICATE REQUEST").encode())
        emit({"id": generation, "status": "requested", "out": str(out)})


@app.command("certify")
def certify(
    generation: GenerationId,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="外部 CA 的证书 / from an outside CA")] = None,
    chain: Annotated[Path | None, typer.Option("--chain", help="上级证书直至根（PEM）/ its issuers up to the root")] = None,
    approval: ApprovalId = None,
) -> None:
    """为新密钥取得证书：本节点 CA 签发，或导入外部 CA 的（逐项检查）/ its certificate, ours or an outside CA's."""
    given: dict[str, Any] = {}
    if certificate is not None:
        issuers = read_file(chain, limit=1 << 22) if chain is not None else b""
        given = {"certificate": read_file(certificate, limit=1 << 20), "chain": issuers}
    with opened() as (node, actor):
        _done(node.rotation.certify(actor, generation, approval=approval, **given))


@app.command("file")
def file(
    generation: GenerationId,
    number: Annotated[str | None, typer.Option("--number", help="备案编号 / number given by the filing authority")] = None,
    approval: ApprovalId = None,
) -> None:
    """重新制作印章并备案 / make the seal again with the new key, and file it."""
    with opened() as (node, actor):
        _done(node.rotation.file(actor, generation, approval=approval, number=number))


@app.command("distribute")
def distribute(generation: GenerationId, approval: ApprovalId = None) -> None:
    """启用前对外发布新密钥 / publish the trust list with the new key in it."""
    with opened() as (node, actor):
        _done(node.rotation.distribute(actor, generation, approval=approval))


@app.command("activate")
def activate(
    generation: GenerationId,
    approval: ApprovalId = None,
    hurry: Annotated[
        bool, typer.Option("--hurry", help="不等其他地区取得新列表 / before others have fetched the list")
    ] = False,
) -> None:
    """启用；上一代转为收尾 / activate; the one before drains."""
    with opened() as (node, actor):
        _done(node.rotation.activate(actor, generation, approval=approval, hurry=hurry))


@app.command("retire")
def retire(
    generation: GenerationId,
    approval: ApprovalId = None,
    now: Annotated[
        bool, typer.Option("--now", help="不等在途请求（它们改用新密钥）/ do not wait for requests under way")
    ] = False,
) -> None:
    """退役：只能核验，不再签名 / retire: verifies only."""
    with opened() as (node, actor):
        _done(node.rotation.retire(actor, generation, approval=approval, now=now))


@app.command("destroy")
def destroy(generation: GenerationId, approval: ApprovalId = None) -> None:
    """销毁：不可恢复 / destroy the key in its token, for good."""
    with opened() as (node, actor):
        _done(node.rotation.destroy(actor, generation, approval=approval))


@app.command("compromise")
def compromise(
    generation: GenerationId,
    reason: Annotated[str, typer.Option("--reason", help="原因，将记录在案 / why; kept on record")],
    since: Annotated[
        str | None, typer.Option("--since", help="自何时起可疑（RFC 3339）；缺省为启用之时 / in doubt since")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="把可疑文件清单写成 CSV / list of what is in doubt")] = None,
    approval: ApprovalId = None,
) -> int:
    """失密：立即停用，吊销证书，停用印章或切换密钥，列出可疑文件 / stop a key at once and list what is in doubt.

    退出码 / exit status: 0 全部完成 all done, 1 有未完成部分（再次执行即可）something is left: run it again.
    """
    if out is not None:
        can_write(out)
    with opened() as (node, actor):
        moment = _moment(since) if since else None
        found = node.compromise.declare(actor, generation, reason=reason, since=moment, approval=approval)
        if out is not None:
            write_out(out, node.compromise.table(actor, found["id"]).encode())
        emit(found)
    return 0 if found["status"] == "done" else 1


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Usage(
            f"“{text}” is no time; write 2026-11-21T08:00:00+08:00.", f"“{text}”不是时间；请写成 2026-11-21T08:00:00+08:00。"
        ) from exc
    return found if found.tzinfo else found.replace(tzinfo=BEIJING)


@app.command("drill")
def drill(
    suite: Annotated[str, typer.Option("--suite", help="sm2、rsa 或 p256")] = "sm2",
) -> int:
    """演练：在真实令牌与 CA 上走完一次轮换，随后销毁 / practise a rotation with scratch keys; exit status 1 if it failed."""
    from ceremonies.drill import Drill

    if suite not in ("sm2", "rsa", "p256"):
        raise Usage("Choose sm2, rsa or p256.", "请选择 sm2、rsa 或 p256。")
    with opened() as (node, actor):
        found = Drill(node).run(actor, suite)
        emit(found)
    return 0 if found["status"] == "done" else 1


@app.command("due")
def due(within: Annotated[int, typer.Option("--days", min=1, max=3650, help="天数 / days from now")] = 90) -> None:
    """即将到期的一切，最紧急的在前 / what runs out, the most urgent first."""
    columns = (("urgency", "缓急", "Urgency"), ("at", "到期", "At"), ("what_zh", "事项", "What"), ("do_zh", "怎么办", "Do"))
    if STATE.lang == "en":
        columns = (("urgency", "缓急", "Urgency"), ("at", "到期", "At"), ("what", "事项", "What"), ("do", "怎么办", "Do"))
    with opened() as (node, actor):
        emit_list(node.expiry.overview(actor, within=timedelta(days=within)), columns)


@app.command("ask")
def ask(
    step: Annotated[str, typer.Argument(metavar="STEP", help="stage、certify、file、distribute、activate、retire、destroy")],
    target: Annotated[str, typer.Argument(metavar="ROLE|GENERATION", help="stage 用途 ID，其余密钥代 ID / role for stage")],
    number: Annotated[str | None, typer.Option("--number", help="备案编号 / filing number, for file")] = None,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="外部 CA 的证书 / for certify")] = None,
) -> None:
    """请密钥管理员批准某一步骤 / ask the officers to approve a step."""
    from cli.approvals import show_approval

    data = read_file(certificate, limit=1 << 20) if certificate is not None else None
    with opened() as (node, actor):
        show_approval(node.rotation.ask(actor, step, target, number=number, certificate=data))
