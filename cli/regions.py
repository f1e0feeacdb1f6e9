"""``xinyin regions``: two regions on this machine, and how a licence of one fares in the other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import emit, err, out, say
from cli.state import STATE

if TYPE_CHECKING:
    from rich.console import Console

    from ceremonies.two_regions.story import Outcome

FOLDER = "xinyin-regions"
"""Beside the home that other commands use: the regions have homes of their own in it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("regions")(regions)


def regions(
    stay: Annotated[bool, typer.Option("--stay", help="演示后两地服务继续运行，直至 Ctrl-C / leave both running")] = False,
    folder: Annotated[Path | None, typer.Option("--folder", help="两地的家目录所在文件夹 / where the homes go")] = None,
) -> int:
    """两地互认演示：上海发照，浙江核验 / two regions: a licence of one, verified in the other."""
    from ceremonies.two_regions import story
    from cli.storytelling import Narrator

    console = err() if STATE.json else out()
    console.print()
    console.print("[bold red]▣ 信印 Xinyin[/]  [bold]两地互认[/] [dim]two regions[/]")
    say(
        "所有机构、人员、印章、证照均为虚构样本。", "Every organ, person, seal and licence is a fictitious sample.", style="dim"
    )
    outcome = story.run(folder or STATE.home.parent / FOLDER, Narrator(console))
    try:
        emit(_document(outcome), lambda page: _ending(page, outcome))
        if stay and outcome.good:
            _stay(console, outcome)
    finally:
        for region in outcome.regions:
            region.stop()
    return 0 if outcome.good else 1


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": "as-expected" if outcome.good else "unexpected",
        "folder": str(outcome.folder),
        "seconds": round(outcome.seconds, 1),
        "regions": [{"id": one.code, "status": "founded", "name": one.name, "home": str(one.home)} for one in outcome.regions],
        "items": [
            {"what": s.en, "what_zh": s.zh, "expected": s.expected, "found": s.found, "as_expected": s.as_expected}
            for s in outcome.scenes
        ],
        "next": None,
    }


def _ending(console: Console, outcome: Outcome) -> None:
    from rich import box
    from rich.table import Table

    from cli.verify import answer_words

    console.print()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=78)
    table.add_column(STATE.pick("在浙江出示", "Shown in Zhejiang").replace("\n", " "), overflow="fold", ratio=5)
    table.add_column(STATE.pick("结论", "Answer").replace("\n", " "), no_wrap=True)
    table.add_column("", no_wrap=True)
    for scene in outcome.scenes:
        shown = {"zh": scene.zh, "en": scene.en}.get(STATE.lang, f"{scene.zh}\n[dim]{scene.en}[/]")
        mark = "[green]✔[/]" if scene.as_expected else f"[bold red]✘ ≠ {scene.expected}[/]"
        found = answer_words(scene.found) if scene.found in ("accept", "check", "refuse") else STATE.pick(*scene.words)
        table.add_row(shown, found.replace("\n", " "), mark)
    console.print(table)
    console.print(STATE.pick("文件在：", "The files are in:").replace("\n", " ") + f" {outcome.folder}/", soft_wrap=True)
    for path, zh, en in outcome.files:
        console.print(f"  {path.name:<20} [dim]{ {'zh': zh, 'en': en}.get(STATE.lang, zh) }[/]")
    words = (
        (f"全部符合预期，用时 {outcome.seconds:.0f} 秒。", f"All as expected, in {outcome.seconds:.0f} seconds.")
        if outcome.good
        else ("有结果与预期不符，见上。", "Something did not come out as expected; see above.")
    )
    console.print(f"[bold {'green' if outcome.good else 'red'}]{STATE.pick(*words)}[/]")


def _stay(console: Console, outcome: Outcome) -> None:
    """Both regions stay up until Ctrl-C; the one that the story cut off comes back."""
    from contextlib import suppress

    for region in outcome.regions:
        if region.process is None or region.process.poll() is not None:
            region.start()
            region.ready()
        console.print(f"  {region.name}  {region.base_url}/")
    say("两地服务运行中，按 Ctrl-C 停止。", "Both are running; Ctrl-C stops them.", style="bold")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
