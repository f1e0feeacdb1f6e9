"""``xinyin application …``: handled by one person (经办), signed off by another (签发, ``--as ACCOUNT``), sealed, delivered."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list, say
from cli.state import STATE
from cli.support import can_write, matter, opened, place, write_out
from cli.verify import read_file
from cli.words import beijing
from crypto.errors import Usage

if TYPE_CHECKING:
    from rich.console import Console

    from seals.placement import AnyPlacement
    from seals.workflow.drafts import NewDocument

app = typer.Typer(help="申请：提出、审核、会签、签发、用印、送达 / applications, step by step")
Id = Annotated[str, typer.Argument(metavar="APPLICATION", help="申请编号 / application ID")]
Note = Annotated[str, typer.Option("--note", help="意见 / a remark")]
Reason = Annotated[str, typer.Option("--reason", help="事由 / why")]
Files = Annotated[list[Path] | None, typer.Option("--file", help="随申请提交的 PDF（可多次）/ a PDF to be sealed; repeat")]
At = Annotated[str | None, typer.Option("--at", metavar="PAGE,X_MM,Y_MM", help="印章中心的位置 / the seal's centre")]
Keyword = Annotated[str | None, typer.Option("--keyword", help="盖在此文字上 / over this text (default: the owner's name)")]
Straddle = Annotated[str | None, typer.Option("--straddle", help="骑缝：right left top bottom / over an edge of all pages")]
Suite = Annotated[str | None, typer.Option("--suite", help="rsa, p256, sm2")]
Number = Annotated[str | None, typer.Option("--number", help="文号 / the document's number")]
Title = Annotated[str | None, typer.Option("--title", help="标题 / title")]
Copies = Annotated[int | None, typer.Option("--copies", min=1, help="份数 / copies")]
Countersigners = Annotated[list[str] | None, typer.Option("--countersign", help="会签部门（可多次）/ a department; repeat")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000)]
Cursor = Annotated[str | None, typer.Option("--cursor")]
Query = Annotated[str | None, typer.Option("--q", help="标题、文号的一部分 / part of title or number")]

STATES = {
    "submitted": ("办理中", "in progress"),
    "returned": ("已退回补正", "returned"),
    "signed-off": ("已签发", "signed off"),
    "refused": ("不予办理", "refused"),
    "withdrawn": ("已撤回", "withdrawn"),
    "used": ("已使用", "used"),
    "sealed": ("已用印", "sealed"),
    "delivered": ("已送达", "delivered"),
}
STEPS = {
    "handle": ("经办", "handle"),
    "review": ("审核", "review"),
    "countersign": ("会签", "countersign"),
    "sign-off": ("签发", "sign off"),
    "seal": ("用印", "seal"),
    "deliver": ("送达", "deliver"),
}
_MARKS = {"done": "✓", "current": "▶", "waiting": "·", "skipped": "–", "returned": "↩", "refused": "✗"}


class Purpose(StrEnum):
    """What is applied for."""

    make_seal = "make-seal"
    use_seal = "use-seal"
    issue_licence = "issue-licence"


@app.command("submit")
def submit(
    purpose: Annotated[Purpose, typer.Option("--purpose", help="制章、用印或办证 / to make a seal, use one, issue a licence")],
    department: Annotated[str, typer.Option("--department", help="部门统一社会信用代码 / the deciding department's code")],
    seal: Annotated[str | None, typer.Option("--seal", help="要使用的印章 / the seal to use")] = None,
    file: Files = None,
    at: At = None,
    keyword: Keyword = None,
    straddle: Straddle = None,
    suite: Suite = None,
    document: Annotated[
        Path | None, typer.Option("--document", help="只登记其摘要、另行保管的文件 / a document kept elsewhere: its digest")
    ] = None,
    number: Number = None,
    title: Title = None,
    copies: Copies = None,
    countersign: Countersigners = None,
    applicant: Annotated[str | None, typer.Option("--applicant", help="申请人 / who asked for it")] = None,
    contact: Annotated[str | None, typer.Option("--contact", help="联系方式 / how to reach them")] = None,
    replaces: Annotated[str | None, typer.Option("--replaces", help="被更正的用印编号 / the impression it corrects")] = None,
    name: Annotated[str | None, typer.Option("--name", help="要制作的印章名称 / name of the seal to make")] = None,
    owner: Annotated[str | None, typer.Option("--owner-uscc", help="印章所有者代码 / its owner's code")] = None,
    idempotency_key: Annotated[str | None, typer.Option("--idempotency-key", help="同一键同一请求只做一次")] = None,
) -> None:
    """提出申请 / submit an application."""
    digest = sha256(read_file(document)).hexdigest() if document else None
    facts = {key: value for key, value in (("name", name), ("owner_uscc", owner)) if value}
    person = {key: value for key, value in (("name", applicant), ("contact", contact)) if value}
    files = _documents(file or [], at, keyword, straddle, suite)
    with opened() as (node, actor):
        made = node.seals.applications.submit(
            actor,
            purpose=purpose.value,
            department=department,
            matter=matter(),
            seal_id=node.seals.show(actor, seal)["id"] if seal else None,
            documents=files,
            document_sha256=digest,
            number=number,
            title=title or "",
            copies=copies or 1,
            countersigners=countersign or (),
            applicant=person or None,
            replaces=replaces,
            facts=facts,
            idempotency_key=idempotency_key,
        )
        _emit(made)


@app.command("amend")
def amend(
    application: Id,
    file: Files = None,
    at: At = None,
    keyword: Keyword = None,
    straddle: Straddle = None,
    suite: Suite = None,
    number: Number = None,
    title: Title = None,
    copies: Copies = None,
    countersign: Countersigners = None,
    seal: Annotated[str | None, typer.Option("--seal", help="要使用的印章 / the seal to use")] = None,
    note: Note = "",
) -> None:
    """补正：修改后全部环节重新办理 / amend: every step begins anew."""
    wanted = {"number": number, "title": title, "copies": copies, "countersigners": countersign, "seal_id": seal}
    changes: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
    if STATE.matter:
        changes["matter"] = STATE.matter
    files = _documents(file or [], at, keyword, straddle, suite)
    with opened() as (node, actor):
        _emit(node.seals.applications.amend(actor, application, documents=files or None, note=note, **changes))


@app.command("list")
def list_applications(
    todo: Annotated[bool, typer.Option("--todo", help="只看待我办理的 / those that wait for me")] = False,
    mine: Annotated[bool, typer.Option("--mine", help="只看我经办的 / those that I handled")] = False,
    status: Annotated[str | None, typer.Option("--status", help="状态 / state")] = None,
    q: Query = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """列出申请 / list applications."""
    columns = (
        ("id", "编号", "ID"),
        ("title", "标题", "Title"),
        ("number", "文号", "Number"),
        ("matter", "事项", "Matter"),
        ("status", "状态", "Status"),
        ("step", "当前环节", "Waits for"),
    )
    with opened() as (node, actor):
        page = node.seals.applications.list(
            actor, todo=todo, mine=mine, status=status, matter=STATE.matter, q=q, limit=limit, cursor=cursor
        )
        rows = [{**one, "step": (one["waiting"] or {}).get("step")} for one in page.items]
        emit_list(rows, columns, next_cursor=page.next)


@app.command("show")
def show(application: Id) -> None:
    """查看申请 / show an application."""
    with opened() as (node, actor):
        _emit(node.seals.applications.show(actor, application))


@app.command("review")
def review(application: Id, note: Note = "") -> None:
    """审核 / review."""
    with opened() as (node, actor):
        _emit(node.seals.applications.review(actor, application, note=note))


@app.command("countersign")
def countersign(application: Id, note: Note = "") -> None:
    """会签 / countersign for another department."""
    with opened() as (node, actor):
        _emit(node.seals.applications.countersign(actor, application, note=note))


@app.command("sign-off")
def sign_off(application: Id, note: Note = "") -> None:
    """签发（不得签发自己经办的申请）/ sign off, never one's own."""
    with opened() as (node, actor):
        _emit(node.seals.applications.sign_off(actor, application, note=note))


@app.command("return")
def return_(application: Id, reason: Reason) -> None:
    """退回补正 / return it to be corrected."""
    with opened() as (node, actor):
        _emit(node.seals.applications.return_(actor, application, reason=reason))


@app.command("refuse")
def refuse(application: Id, reason: Reason) -> None:
    """不予办理 / refuse for good."""
    with opened() as (node, actor):
        _emit(node.seals.applications.refuse(actor, application, reason=reason))


@app.command("withdraw")
def withdraw(application: Id, reason: Annotated[str, typer.Option("--reason", help="事由 / why")] = "") -> None:
    """撤回（用印之前）/ withdraw, before anything is sealed."""
    with opened() as (node, actor):
        _emit(node.seals.applications.withdraw(actor, application, reason=reason))


@app.command("seal")
def seal(
    application: Id,
    out: Annotated[Path | None, typer.Option("--out", help="存放用印文件的目录 / folder for the sealed documents")] = None,
) -> None:
    """用印：为全部已签发的文件盖章；中断后可重来 / seal every document that was signed off; ask again after a crash."""
    with opened() as (node, actor):
        service = node.seals.applications
        if out is not None:  # asked for its place before the seal is used
            out.mkdir(parents=True, exist_ok=True)
            documents = service.show(actor, application)["documents"]
            places = {one["n"]: can_write(out / f"{one['n']:02d}-{Path(one['name']).name}") for one in documents}
        sealed = service.seal(actor, application)
        for number, target in places.items() if out is not None else ():
            write_out(target, service.document(actor, application, number, sealed=True)[1])
        _emit(sealed)


@app.command("deliver")
def deliver(
    application: Id,
    recipient: Annotated[str, typer.Option("--recipient", help="接收人 / who received it")],
    method: Annotated[str, typer.Option("--method", help="in-person, post, online, email, system, other")] = "in-person",
    receipt: Annotated[str, typer.Option("--receipt", help="回执说明 / the receipt in words")] = "",
    receipt_file: Annotated[Path | None, typer.Option("--receipt-file", help="回执文件 / the receipt as a file")] = None,
) -> None:
    """送达并留存回执 / deliver, and keep the receipt."""
    data = read_file(receipt_file) if receipt_file else None
    with opened() as (node, actor):
        done = node.seals.applications.deliver(
            actor, application, recipient=recipient, method=method, receipt=receipt, receipt_file=data
        )
        _emit(done)


@app.command("track")
def track(code: Annotated[str, typer.Argument(metavar="CODE", help="查询码 / tracking code")]) -> None:
    """申请人查询办理进度 / what the applicant outside is told."""
    with opened() as (node, _):
        found = node.seals.applications.track(code)

        def human(console: Console) -> None:
            console.print(STATE.pick(found["words_zh"], found["words"]), style="bold")
            for one in found["history"]:
                console.print(f"  {beijing(one['at'])}  {STATE.pick(one['words_zh'], one['words'])}")

        emit(found, human)


@app.command("matters")
def matters() -> None:
    """各事项的办理环节 / which steps each matter needs."""
    columns = (
        ("id", "代码", "Code"),
        ("name", "名称", "Name"),
        ("steps", "环节", "Steps"),
        ("instant", "秒批规则", "Signed off by"),
    )
    with opened() as (node, actor):
        node.authorise(actor, "application.list")
        rows = [
            {
                "id": one.code,
                "name": STATE.pick(one.zh, one.en),
                "steps": " → ".join(STATE.pick(*STEPS[step]).replace("\n", " ") for step in ("handle", *one.steps)),
                "instant": one.instant,
            }
            for one in node.seals.applications.matters.all()
        ]
        emit_list(rows, columns)


@app.command("register")
def register(
    seal: Annotated[str | None, typer.Option("--seal", help="印章 / of one seal")] = None,
    q: Annotated[str | None, typer.Option("--q", help="标题、文号、文件名、申请人 / title, number, file, applicant")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="全部写入此文件 / write all of it to this file")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """用印登记 / the register of use."""
    from seals.workflow.register import Asked, people_of

    columns = (
        ("created_at", "用印时间", "Sealed at"),
        ("seal_name", "印章", "Seal"),
        ("number", "文号", "Number"),
        ("title", "标题", "Title"),
        ("applicant", "申请人", "Applicant"),
        ("handler", "经办", "Handled by"),
        ("signer_off", "签发", "Signed off by"),
        ("status", "状态", "State"),
    )
    with opened() as (node, actor):
        service = node.seals.applications
        if csv is None:
            page = service.register(actor, seal_id=seal, q=q, matter=STATE.matter, limit=limit, cursor=cursor)
            rows = page.items if STATE.json else [row | people_of(row, english=STATE.lang == "en") for row in page.items]
            emit_list(rows, columns, next_cursor=page.next)
            return
        asked = Asked(seal, q, matter=STATE.matter)
        lang = "en" if STATE.lang == "en" else "zh"
        write_out(can_write(csv), "".join(service.register_csv(actor, asked, lang=lang)).encode("utf-8"))
        say("用印登记已写出。", "The register of use is written.")
        emit({"out": str(csv)})


# -- inside ---------------------------------------------------------------------------------------------------------------


def _documents(
    files: list[Path], at: str | None, keyword: str | None, straddle: str | None, suite: str | None
) -> list[NewDocument]:
    """The files, all with the place that the options say."""
    from seals.workflow.drafts import NewDocument

    where = _placement(at, keyword, straddle)
    return [NewDocument(file.name, read_file(file), where, suite=suite) for file in files]


def _placement(at: str | None, keyword: str | None, straddle: str | None) -> AnyPlacement | None:
    from seals.placement import KeywordPlacement, Placement, StraddlePlacement

    given = [option for option in (at, keyword, straddle) if option is not None]
    if len(given) > 1 or (given and not given[0].strip()):
        raise Usage("Give one of --at, --keyword and --straddle.", "--at、--keyword 与 --straddle 只能选一个，且不得为空。")
    if at is not None:
        return Placement(*place(at))
    if straddle is not None:
        return StraddlePlacement.at(straddle)
    return KeywordPlacement(keyword) if keyword is not None else None


def _emit(found: dict[str, Any]) -> None:
    emit(plain(found), lambda console: _human(console, found))


def _human(console: Console, found: dict[str, Any]) -> None:
    """Who has it, since when, and what was said; the way of one application on a few lines."""

    def line(zh: str, en: str, value: Any) -> None:
        if value:
            console.print(f"{STATE.pick(zh, en)}: {value}".replace("\n", " "), markup=False)

    console.print(found["title"] or found["id"], style="bold", markup=False)
    line("编号", "ID", found["id"])
    line("文号", "Number", found["number"])
    line("事项", "Matter", STATE.pick(found["matter_name_zh"], found["matter_name"]))
    line("印章", "Seal", (found["seal"] or {}).get("name"))
    line("份数", "Copies", found["copies"])
    line("状态", "State", STATE.pick(*STATES[found["status"]]))
    line("退回事由", "Returned because", found["returned_reason"])
    for step in found["steps"]:
        console.print(f"  {_MARKS[step['state']]} {_step(step)}", markup=False)
    waiting = found["waiting"]
    if waiting:
        line("等待办理", "Waits for", "、".join(waiting["whom"]) or "、".join(waiting["departments"]))
    for one in found["documents"]:
        mark = "✓" if one["status"] == "sealed" else "·"
        console.print(f"  {mark} {one['n']}. {one['name'] or one['sha256'][:16]}", markup=False)
    line("查询码", "Tracking code", found["track_code"])


def _step(step: dict[str, Any]) -> str:
    from seals.workflow.directory import called

    who = called(step["who"], step["who_name"], english=STATE.lang == "en")
    if str(step["who"] or "").startswith("rule:"):
        who = STATE.pick("由规则签发（秒批）", "by a rule") + f"  {step['who'].removeprefix('rule:')}"
    if step["on_behalf_of_name"]:
        who += STATE.pick(f"（代 {step['on_behalf_of_name']}）", f" (for {step['on_behalf_of_name']})")
    when = beijing(step["at"]) if step["at"] else ""
    said = f"“{step['note']}”" if step["note"] else ""
    parts = (STATE.pick(*STEPS[step["step"]]), step["department_name"], who, when, said)
    return "  ".join(part for part in parts if part).replace("\n", " ")
