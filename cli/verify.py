"""``xinyin verify``: any files in, verdicts and answers out. Needs the base installation only; a node adds its registers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ceremonies.plain import plain
from cli.output import emit, print_members
from cli.state import STATE
from cli.words import sentence
from crypto.errors import NotFound, TooLarge, Usage

if TYPE_CHECKING:
    from rich.console import Console

    from verify.schemas import VerificationContext

MAX_BYTES = 1 << 30


class Report(StrEnum):
    """How much is said."""

    simple = "simple"
    detailed = "detailed"
    etsi = "etsi"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    files: Annotated[
        list[str],
        typer.Argument(help="要核验的文件，或二维码内容 https://…/v#… / files, or what a code says", metavar="FILE|CODE…"),
    ],
    trust: Annotated[
        list[Path] | None, typer.Option("--trust", help="信任列表或证书（PEM、DER、list.jws）/ anchors or a trust list")
    ] = None,
    pin: Annotated[list[str] | None, typer.Option("--pin", help="信任列表密钥的 SHA-256 / fingerprint of a list's key")] = None,
    at: Annotated[str | None, typer.Option("--at", help="按此时刻判断 / judge as of this time (RFC 3339)")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="不联网、不查询登记簿 / ask nobody else")] = False,
    decide: Annotated[
        bool, typer.Option("--decide", help="退出码按结论：0 可采信 10 需核实 20 不采信 / exit by the answer")
    ] = False,
    challenge: Annotated[
        str | None, typer.Option("--challenge", help="请对方在手机上输入的口令 / digits that the holder was asked to type")
    ] = None,
    report: Annotated[Report, typer.Option("--report", help="详细程度 / how much is said")] = Report.simple,
) -> int:
    """核验文件或二维码：是否被改动、印章真伪与状态、证照状态 / verify documents and codes.

    退出码 / exit status: 0 TOTAL-PASSED, 10 INDETERMINATE, 20 TOTAL-FAILED, 30 无签章 no signature, 40 无法读取 unreadable.
    """
    moment = parse_time(at) if at else None
    documents = [(Path(one).name, read_file(Path(one))) for one in files if not _is_code(one)]
    from verify.schemas import exit_status
    from verify.worker import verify_many

    prepare = cache(lambda: replace(_context(trust or [], pin or [], moment, offline), challenge=challenge))
    judged = iter(verify_many(documents, prepare) if documents else [])
    verdicts = [_code(one, prepare()) if _is_code(one) else next(judged) for one in files]

    def human(console: Console) -> None:
        for verdict in verdicts:
            draw(console, verdict, detailed=report is not Report.simple)

    shown: Any = [_as_report(v, report) for v in verdicts]
    emit(shown if len(shown) > 1 else shown[0], human)
    return exit_status(verdicts, decide=decide)


def _is_code(argument: str) -> bool:
    """Whether an argument is what a scanner read and not the name of a file."""
    return argument.startswith(("https://", "http://")) and "/v#" in argument


def _code(text: str, context: VerificationContext) -> dict[str, Any]:
    from verify.code import verify_code

    return verify_code(text, context=context)


def parse_time(value: str) -> datetime:
    """A time on the command line: RFC 3339, or a date, which means its first moment in UTC."""
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if not 1970 <= found.year <= 2500:  # no clock arithmetic holds beyond
            raise ValueError(value)
    except ValueError as exc:
        raise Usage(
            f"“{value}” is no time; write 2026-11-21 or 2026-11-21T08:00:00Z.",
            f"“{value}”不是时间；请写成 2026-11-21 或 2026-11-21T08:00:00Z。",
        ) from exc
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_file(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """A file named on the command line, whole.

    :raises NotFound: there is none, or it is a folder
    :raises TooLarge: over ``limit`` bytes
    """
    if not path.exists():
        raise NotFound(f"There is no file {path}.", f"没有文件 {path}。", file=str(path))
    if path.is_dir():
        raise NotFound(f"{path} is a folder; name a file.", f"{path} 是文件夹，请指定文件。", file=str(path))
    if path.stat().st_size > limit:
        raise TooLarge(f"{path} is larger than {limit >> 20} MiB.", f"{path} 超过 {limit >> 20} MiB。", file=str(path))
    return path.read_bytes()


def _context(trust: list[Path], pins: list[str], at: datetime | None, offline: bool) -> VerificationContext:
    from verify.schemas import VerificationContext
    from verify.trust import TrustStore, read_pins

    home = STATE.home
    if not trust and (home / "node.toml").is_file() and _has_service():
        from ceremonies.node import Node

        return Node.open(home).verification_context(at=at, offline=offline, matter=STATE.matter)
    folder = home / "trust"
    store = (
        TrustStore.from_paths(trust, pins, known_pins=read_pins(folder / "pins.json"))
        if trust
        else TrustStore.from_folder(folder)
    )
    return VerificationContext(trust=store, at=at, offline=offline, matter=STATE.matter)


def _has_service() -> bool:
    from importlib.util import find_spec

    return find_spec("sqlalchemy") is not None


def _as_report(verdict: dict[str, Any], report: Report) -> dict[str, Any]:
    if report is Report.etsi:
        from verify.report import etsi

        verdict = etsi(verdict)
    return plain(verdict)  # type: ignore[no-any-return]


_TONE = {
    "accept": ("green", "✔", "可以采信", "ACCEPT"),
    "check": ("yellow", "!", "需要核实", "CHECK"),
    "refuse": ("red", "✘", "不予采信", "REFUSE"),
}
_STATE = {"ok": ("green", "✔"), "doubt": ("yellow", "!"), "bad": ("red", "✘"), "none": ("dim", "–")}
_PARTS = (
    ("document", "文件", "document"),
    ("seal", "印章", "seal"),
    ("licence", "证照", "licence"),
    ("matter", "事项", "matter"),
)


def answer_words(decision: str, *, short: bool = False) -> str:
    """``✔ 可以采信 ACCEPT`` in its colour, for a terminal; ``short`` is in one language."""
    colour, mark, zh, en = _TONE[decision]
    words = {"zh": zh, "en": en}.get(STATE.lang, zh if short else f"{zh} {en}")
    return f"[bold {colour}]{mark} {words}[/]"


def draw(console: Console, verdict: dict[str, Any], *, detailed: bool = False) -> None:
    """One verdict for a person: the answer first, its four parts, the reasons, the signatures."""
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    answer = verdict["answer"]
    console.print(f"{answer_words(answer['decision'])}   [bold]{escape(verdict['file'])}[/]  [dim]{verdict['verdict']}[/]")
    parts = Table(box=None, show_header=False, pad_edge=False)
    parts.add_column(no_wrap=True)
    parts.add_column(overflow="fold")
    for key, zh, en in _PARTS:
        part = answer.get(key)
        if part and (part["state"] != "none" or detailed):
            colour, mark = _STATE[part["state"]]
            label = {"zh": zh, "en": en}.get(STATE.lang, zh)
            parts.add_row(f"[{colour}]{mark}[/] [dim]{label}[/]", escape(sentence(part["message_zh"], part["message"])))
    for zh, en, value in _presented(verdict.get("presentation")):
        label = {"zh": zh, "en": en}.get(STATE.lang, zh)
        parts.add_row(f"  [dim]{label}[/]", escape(value))
    said = {answer[key]["message"] for key, _, _ in _PARTS}
    for reason in (r for r in verdict["reasons"] if r["message"] not in said):
        parts.add_row("[dim]  ·[/]", escape(sentence(reason["message_zh"], reason["message"])))
    step = sentence(answer.get("next_step_zh") or "", answer.get("next_step") or "")
    if step:
        parts.add_row("[bold]→[/]", f"[bold]{escape(step)}[/]")
    console.print(Padding(parts, (0, 0, 0, 2)))
    if detailed:
        for signature in verdict["signatures"]:
            console.print()
            print_members(console, _for_people(signature), 1)
    console.print()


_ROLES = {
    "representative": ("法定代表人", "legal representative"),
    "holder": ("持证人", "holder"),
    "manager": ("证照管理员", "manager"),
    "staff": ("办事人", "staff"),
    "agent": ("代办人", "agent"),
}


def _presented(block: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """Who shows it and what for: (label, label in English, value)."""
    if not block:
        return []
    role = _ROLES.get(block["bearer_role"] or "")
    bearer = " ".join(filter(None, [block["bearer"], sentence(*role) if role else None]))
    rows = [("出示人", "bearer", bearer), ("用途", "purpose", block["purpose"]), ("用途至", "until", block["purpose_until"])]
    return [(zh, en, value) for zh, en, value in rows if value]


def _for_people(signature: dict[str, Any]) -> dict[str, Any]:
    """A signature of the verdict with its reasons as sentences and its chain as names."""
    said: dict[str, Any] = plain(signature)
    said["reasons"] = [sentence(one["message_zh"], one["message"]) for one in signature["reasons"]]
    said["chain"] = [one["subject"] if isinstance(one, dict) else one for one in signature["chain"]]
    return said
