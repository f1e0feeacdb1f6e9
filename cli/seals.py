"""``xinyin seal …`` and ``xinyin impression …``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, emit_list, err, say
from cli.state import STATE
from cli.support import can_write, matter, opened, place, without_empty, write_out
from cli.verify import read_file
from crypto.errors import NotFound, Usage, XinyinError

if TYPE_CHECKING:
    from rich.console import Console

    from seals.placement import AnyPlacement

seal_app = typer.Typer(help="电子印章：制作、查看、停用、用印 / seals: make, show, suspend, apply")
impression_app = typer.Typer(help="电子签章（每一次用印）/ impressions: every use of a seal")

Key = Annotated[
    str | None, typer.Option("--idempotency-key", help="同一键同一请求只做一次 / the same key gives the same result")
]
Application = Annotated[str | None, typer.Option("--application", help="已签发的申请编号 / the approved application")]
SealId = Annotated[str, typer.Argument(help="印章 ID 或印章编码 / seal ID or esID", metavar="SEAL")]

SUITES = ("rsa", "p256", "sm2")
_COLUMNS = (
    ("id", "编号", "ID"),
    ("name", "名称", "Name"),
    ("owner_name", "所有者", "Owner"),
    ("kind", "类别", "Kind"),
    ("status", "状态", "Status"),
)


@seal_app.command("create")
def create(
    owner: Annotated[str, typer.Option("--owner", help="所有者名称 / the owner's name")],
    uscc: Annotated[str, typer.Option("--uscc", help="统一社会信用代码 / the owner's 18-character code")],
    name: Annotated[str | None, typer.Option("--name", help="印章名称（默认同所有者）/ the seal's name")] = None,
    kind: Annotated[
        str, typer.Option("--kind", help="类别 / kind: statutory, special, internal, branch, enterprise, invoice, personal …")
    ] = "statutory",
    label: Annotated[str | None, typer.Option("--label", help="下方横排文字，如 行政审批专用章 / the lower line")] = None,
    suite: Annotated[list[str] | None, typer.Option("--suite", help="rsa, p256, sm2（可多次，默认全部）/ default all")] = None,
    sample: Annotated[bool, typer.Option("--sample/--no-sample", help="印面带“样本”字样 / says 样本")] = True,
    application: Application = None,
    idempotency_key: Key = None,
) -> None:
    """制作印章 / make a seal."""
    suites = tuple(suite or SUITES)
    for one in suites:
        if one not in SUITES:
            raise Usage(f"There is no suite “{one}”; choose rsa, p256 or sm2.", f"没有算法套件“{one}”；请选 rsa、p256 或 sm2。")
    with opened() as (node, actor):
        seal = node.seals.create(
            actor,
            owner_name=owner,
            owner_uscc=uscc,
            name=name,
            kind=kind,
            label=label,
            suites=suites,
            sample=sample,
            approved_application=application,
            idempotency_key=idempotency_key,
        )
        emit(without_empty(plain(seal)))


@seal_app.command("list")
def list_seals(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出印章 / list seals."""
    with opened() as (node, actor):
        page = node.seals.list(actor, limit=limit, cursor=cursor)
        emit_list(page.items, _COLUMNS, next_cursor=page.next)


@seal_app.command("show")
def show(seal: SealId) -> None:
    """查看一枚印章 / show one seal."""
    with opened() as (node, actor):
        emit(plain(node.seals.show(actor, seal)))


@seal_app.command("suspend")
def suspend(seal: SealId, reason: Annotated[str, typer.Option("--reason", help="事由 / why")]) -> None:
    """停用印章（可恢复）/ suspend a seal."""
    with opened() as (node, actor):
        emit(plain(node.seals.suspend(actor, seal, reason=reason)))


@seal_app.command("resume")
def resume(seal: SealId, reason: Annotated[str, typer.Option("--reason", help="事由 / why")]) -> None:
    """恢复印章 / resume a suspended seal."""
    with opened() as (node, actor):
        emit(plain(node.seals.resume(actor, seal, reason=reason)))


@seal_app.command("revoke")
def revoke(seal: SealId, reason: Annotated[str, typer.Option("--reason", help="事由 / why")]) -> None:
    """撤销印章及其全部证书（不可恢复）/ revoke a seal for good."""
    with opened() as (node, actor):
        emit(plain(node.seals.revoke(actor, seal, reason=reason)))


Where = Annotated[
    str | None, typer.Option("--at", help="页,X毫米,Y毫米：印章中心，自页面左上角 / PAGE,X_MM,Y_MM of the centre")
]
Keyword = Annotated[str | None, typer.Option("--keyword", help="盖在此文字处 / over this text")]
Straddle = Annotated[
    str | None, typer.Option("--straddle", help="骑缝章 / over one edge of all pages: right, left, top, bottom")
]
Format = Annotated[str | None, typer.Option("--format", help="pades, gm, gm35275")]
Suite = Annotated[str | None, typer.Option("--suite", help="rsa, p256, sm2")]
Level = Annotated[str, typer.Option("--level", help="B, T, LT, LTA")]


def _placement(at: str | None, keyword: str | None, straddle: str | None = None) -> AnyPlacement:
    """What the options say of the place; the default is the foot of the last page, where the signature line is."""
    from seals.sealing import KeywordPlacement, Placement, StraddlePlacement

    given = [option for option in (at, keyword, straddle) if option is not None]
    if len(given) > 1:
        raise Usage("Give one of --at, --keyword and --straddle.", "--at、--keyword 与 --straddle 只能选一个。")
    if given and not given[0].strip():
        # A script whose variable is unset must not get its seal somewhere else.
        raise Usage("The place to seal is empty; say where.", "盖章位置为空，请说明盖在何处。")
    if straddle:
        return StraddlePlacement.at(straddle)
    if keyword:
        return KeywordPlacement(keyword)
    page, x, y = place(at or "1,150,240")
    return Placement(page, x, y)


@seal_app.command("apply")
def apply(
    document: Annotated[Path, typer.Argument(metavar="IN", help="要盖章的 PDF / the PDF to seal")],
    seal: Annotated[str, typer.Option("--seal", help="印章 / seal ID or esID")],
    out: Annotated[Path, typer.Option("--out", help="写到 / write the sealed document here")],
    format: Format = None,
    suite: Suite = None,
    level: Level = "B",
    at: Where = None,
    keyword: Keyword = None,
    straddle: Straddle = None,
    application: Application = None,
    idempotency_key: Key = None,
) -> None:
    """在 PDF 上加盖印章 / seal a PDF."""
    data = read_file(document)
    placement = _placement(at, keyword, straddle)
    can_write(out, document)
    with opened() as (node, actor):
        impression, sealed = node.seals.apply(
            actor,
            data,
            seal_id=seal,
            format=format,
            suite=suite,
            level=level.upper(),
            placement=placement,
            matter=matter(),
            application=application,
            idempotency_key=idempotency_key,
        )
        write_out(out, sealed)
        result = {**plain(impression), "out": str(out)}

    def human(console: Console) -> None:
        console.print(f"[bold green]✔[/] {STATE.pick('已盖章', 'Sealed')}: {out}")
        console.print(f"  [dim]{result['id']}[/]")

    emit(result, human)


@seal_app.command("batch")
def batch(
    folder: Annotated[Path, typer.Argument(metavar="IN_DIR", help="PDF 所在文件夹 / the folder of PDFs")],
    seal: Annotated[str, typer.Option("--seal", help="印章 / seal ID or esID")],
    out: Annotated[Path, typer.Option("--out", help="写到此文件夹 / write into this folder")],
    format: Format = None,
    suite: Suite = None,
    level: Level = "B",
    at: Where = None,
    keyword: Keyword = None,
    straddle: Straddle = None,
    application: Application = None,
) -> int:
    """为文件夹内的每个 PDF 盖章；中断后再次运行会接着做 / seal every PDF of a folder; run it again to carry on.

    退出码 / exit status: 0 全部盖章 all sealed, 1 有文件未盖章 some were refused.
    """
    from hashlib import sha256

    from rich.progress import track

    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", f"没有文件夹 {folder}。")
    placement = _placement(at, keyword, straddle)
    out.mkdir(parents=True, exist_ok=True)
    documents = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".pdf" and p.is_file())
    items: list[dict[str, Any]] = []
    with opened() as (node, actor):
        for path in track(documents, STATE.pick("用印", "Sealing"), console=err(), disable=STATE.json):
            item: dict[str, Any] = {"file": path.name}
            try:
                can_write(out / path.name, path)
                data = read_file(path)
                wish = f"{seal}|{format}|{suite}|{level.upper()}|{placement}|{matter()}|{application}|{path.name}"
                impression, sealed = node.seals.apply(
                    actor,
                    data,
                    seal_id=seal,
                    format=format,
                    suite=suite,
                    level=level.upper(),
                    placement=placement,
                    matter=matter(),
                    application=application,
                    # The same file, wish and place again is the same request: an interrupted batch carries on where it stopped.
                    idempotency_key=f"batch-{sha256(sha256(data).digest() + wish.encode()).hexdigest()}",
                )
                write_out(out / path.name, sealed)
                item |= {"status": "sealed", "impression": plain(impression)["id"], "out": str(out / path.name)}
            except XinyinError as exc:
                item |= {"status": "refused", "error": exc.to_dict(), "why": STATE.pick(exc.message_zh, exc.message)}
            items.append(item)
    emit_list(items, (("file", "文件", "File"), ("status", "结果", "Result"), ("why", "原因", "Why")))
    refused = sum(item["status"] != "sealed" for item in items)
    if refused:
        say(
            f"{len(items)} 个文件中有 {refused} 个未盖章。", f"{refused} of {len(items)} files were not sealed.", style="yellow"
        )
    return 1 if refused else 0


@impression_app.command("list")
def list_impressions(
    seal: Annotated[str | None, typer.Option("--seal", help="只看此印章 / of this seal only")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor")] = None,
) -> None:
    """列出用印记录 / list impressions."""
    with opened() as (node, actor):
        page = node.seals.list_impressions(actor, seal_id=seal, limit=limit, cursor=cursor)
        columns = (
            ("id", "编号", "ID"),
            ("seal_id", "印章", "Seal"),
            ("created_at", "时间", "Time"),
            ("status", "状态", "Status"),
        )
        emit_list(page.items, columns, next_cursor=page.next)


@impression_app.command("show")
def show_impression(impression: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """查看一次用印 / show one impression."""
    with opened() as (node, actor):
        emit(plain(node.seals.show_impression(actor, impression)))


@impression_app.command("void")
def void(
    impression: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option("--reason", help="事由 / why")],
    replaced_by: Annotated[str | None, typer.Option("--replaced-by", help="更正后文件的用印编号 / the corrected one")] = None,
) -> None:
    """作废或替换已盖章的文件 / void a sealed document."""
    with opened() as (node, actor):
        emit(plain(node.seals.void(actor, impression, reason=reason, replaced_by=replaced_by)))
