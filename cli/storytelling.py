"""How ``xinyin demo`` tells its story on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import emit, err, say
from cli.state import STATE
from cli.words import readable
from crypto.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console

    from ceremonies.demo import Outcome

_NUMBERS = "一二三四五六七八九十"


def _numeral(number: int) -> str:
    """1–19 as chapters are counted: 一, 十, 十一."""
    return _NUMBERS[number - 1] if number <= 10 else "十" + _NUMBERS[number - 11]


class Narrator:
    """Tells on a terminal: chapters as numbered headings, lines below them, Chinese first and English dimmed beneath."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._chapter = 0

    def chapter(self, zh: str, en: str) -> None:
        number = str(self._chapter + 1) if STATE.lang == "en" else _numeral(self._chapter + 1)
        self._chapter += 1
        self._console.print()
        title = {"zh": zh, "en": en}.get(STATE.lang, f"{zh}  [dim]{en}[/]")
        self._console.print(f"[bold red]{number}[/] [bold]{title}[/]")

    def line(self, zh: str, en: str) -> None:
        self._row("[dim]·[/]", zh, en)

    def shown(self, zh: str, en: str, verdict: dict[str, Any]) -> None:
        from cli.verify import answer_words

        answer = verdict["answer"]
        parts = [answer[name] for name in ("document", "seal", "licence", "matter")]
        telling = [p for state in ("bad", "doubt") for p in parts if p["state"] == state] or parts[:1]
        self._row(answer_words(answer["decision"], short=True), zh, en)
        self._row("", telling[0]["message_zh"], telling[0]["message"], style="dim")

    def _row(self, mark: str, zh: str, en: str, *, style: str = "") -> None:
        from rich.table import Table
        from rich.text import Text

        zh, en = readable(zh), readable(en)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=2)
        grid.add_column(width=11 if "[bold" in mark or not mark else 1, no_wrap=True)
        grid.add_column(overflow="fold")
        if STATE.lang != "en":
            grid.add_row("", mark, Text(zh, style=style))
        if STATE.lang != "zh":
            grid.add_row("", mark if STATE.lang == "en" else "", Text(en, style=style if STATE.lang == "en" else "dim"))
        self._console.print(grid)


def tell(home: Path, pdfs: Sequence[Path]) -> int:
    """Make a node if there is none, run the story, print the table; 0 when every expectation held."""
    from ceremonies import demo
    from ceremonies.config import FILE
    from ceremonies.founding import found
    from ceremonies.node import Node

    for path in pdfs:
        if not path.is_file():
            raise NotFound(f"There is no file {path}.", f"没有文件 {path}。")
    console = err() if STATE.json else _stage()
    console.print()
    console.print("[bold red]▣ 信印 Xinyin[/]  [bold]演示[/] [dim]demo[/]")
    say("所有机构、印章、证照均为虚构样本。", "Every organ, seal and licence is a fictitious sample.", style="dim")
    narrator = Narrator(console)
    if (home / FILE).is_file() and _founded(home):
        node = Node.open(home)
    else:
        narrator.chapter("建立节点", "Making a node")
        node = found(home, "310000", "上海市", narrator.line)
    try:
        outcome = demo.run(node, pdfs, narrator)
    finally:
        node.close()
    emit(_document(outcome), lambda page: _ending(page, outcome))
    return 0 if outcome.good else 1


def _founded(home: Path) -> bool:
    from ceremonies.config import NodeConfig

    return NodeConfig.load(home).founded


def _stage() -> Console:
    from cli.output import out

    return out()


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": "as-expected" if outcome.good else "unexpected",
        "folder": str(outcome.folder),
        "seconds": round(outcome.seconds, 1),
        "items": [
            {
                "what": scene.en,
                "what_zh": scene.zh,
                "file": str(scene.file),
                "verdict": scene.found[0],
                "decision": scene.found[1],
                "expected": list(scene.expected),
                "as_expected": scene.as_expected,
            }
            for scene in outcome.scenes
        ],
        "refused": [{"file": name, "error": error.to_dict()} for name, error in outcome.refused],
        "next": None,
    }


def _ending(console: Console, outcome: Outcome) -> None:
    from rich import box
    from rich.table import Table

    from cli.verify import answer_words

    console.print()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=78)
    table.add_column(STATE.pick("出示的文件", "Shown").replace("\n", " "), overflow="fold", ratio=5)
    table.add_column(STATE.pick("签章", "Signatures").replace("\n", " "), no_wrap=True)
    table.add_column(STATE.pick("结论", "Answer").replace("\n", " "), no_wrap=True)
    table.add_column("", no_wrap=True)
    for scene in outcome.scenes:
        shown = {"zh": scene.zh, "en": scene.en}.get(STATE.lang, f"{scene.zh}\n[dim]{scene.en}[/]")
        mark = "[green]✔[/]" if scene.as_expected else "[bold red]✘ ![/]"
        table.add_row(shown, scene.found[0], answer_words(scene.found[1]), mark)
    console.print(table)
    for scene in outcome.scenes:
        if not scene.as_expected:
            console.print(f"[bold red]✘[/] {scene.en}: {scene.found} ≠ {scene.expected}", markup=True)
            for reason in scene.verdict["reasons"]:
                console.print(f"    {reason['code']}: {reason['message']}", markup=False, style="dim")
    _files(console, outcome)
    words = (
        (f"全部符合预期，用时 {outcome.seconds:.1f} 秒。", f"All as expected, in {outcome.seconds:.1f} seconds.")
        if outcome.good
        else ("有结果与预期不符，见上。", "Something did not come out as expected; see above.")
    )
    console.print(f"[bold {'green' if outcome.good else 'red'}]{STATE.pick(*words)}[/]")
    console.print()
    console.print(STATE.pick("接下来可以：", "What to try next:").replace("\n", " "), style="bold")
    console.print("  make serve                    [dim]打开网页核验、登录用印 / pages: verify, sign in and seal[/]")
    console.print(f"  .venv/bin/xinyin verify {outcome.folder}/approval-rsa.pdf", soft_wrap=True)
    console.print("  .venv/bin/xinyin seal list    [dim]印章登记簿 / the register of seals[/]")
    console.print("  .venv/bin/xinyin audit verify [dim]审计日志是否完整 / is the log whole[/]")


def _files(console: Console, outcome: Outcome) -> None:
    console.print(STATE.pick("文件在：", "The files are in:").replace("\n", " ") + f" {outcome.folder}/", soft_wrap=True)
    for path, zh, en in outcome.files:
        words = {"zh": zh, "en": en}.get(STATE.lang, zh)
        console.print(f"  {path.name:<34} [dim]{words}[/]")
    console.print()
