"""``xinyin``: global options, the commands, and the one place where an error becomes a sentence and an exit status."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import (
    accounts,
    applications,
    approvals,
    audit,
    ca,
    enquiries,
    keys,
    licences,
    node,
    notices,
    people,
    policy,
    receipts,
    recognition,
    regions,
    seals,
    trust,
    watching,
)
from cli import verify as verify_command
from cli.state import STATE, default_home, default_lang
from cli.usage import in_chinese, in_english
from crypto.errors import XinyinError

# Typer carries Click inside itself in some versions and beside itself in others; the classes are found from its public names.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_ClickException: type[Exception] = _UsageError.__mro__[1]

_VALUED = ("--home", "--as", "--matter", "--lang")
_FLAGS = ("--json",)
_INNER_ROOMS = frozenset({"crypto", "formats", "policies", "net", "verify", "store", "people", "hsm"})
_OUTER_ROOMS = frozenset({"ca", "trust", "seals", "licences", "records", "ceremonies", "api", "cli"})

app = typer.Typer(
    name="xinyin",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--home, --json, --as, --matter, --lang 可写在子命令之前或之后 / work before and after the subcommand.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("xinyin")
        except PackageNotFoundError:  # run from the source tree
            found = "0"
        sys.stdout.write(found + "\n")
        raise typer.Exit


@app.callback()
def _globals(
    home: Annotated[
        Path | None, typer.Option("--home", help="节点目录 / the node's folder (XINYIN_HOME, ~/.local/share/xinyin)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="标准输出只打印一个 JSON 文档 / one JSON document on stdout")] = False,
    account: Annotated[
        str | None, typer.Option("--as", help="以哪个账户的身份 / act as this account (default: local operator)")
    ] = None,
    matter: Annotated[str | None, typer.Option("--matter", help="事项编码 / matter code (default: default)")] = None,
    lang: Annotated[str | None, typer.Option("--lang", help="zh 或 / or en (default: LANG)")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="版本 / version")] = False,
) -> None:
    """[bold]信印 Xinyin[/bold]: 签发电子证照、加盖电子印章、核验 / issue licences, apply e-seals, verify."""
    if lang not in (None, "zh", "en"):
        raise typer.BadParameter("zh or en", param_hint="--lang")
    STATE.home = home.expanduser() if home else default_home()
    STATE.json = as_json
    STATE.account = account
    STATE.matter = matter
    STATE.lang = lang or default_lang()


node.register(app)
regions.register(app)
people.register(accounts.app)
verify_command.register(app)
for _name, _module in (
    ("seal", seals.seal_app),
    ("impression", seals.impression_app),
    ("application", applications.app),
    ("licence", licences.app),
    ("key", keys.app),
    ("approval", approvals.app),
    ("ca", ca.app),
    ("trust", trust.app),
    ("recognition", recognition.app),
    ("enquiry", enquiries.app),
    ("audit", audit.app),
    ("account", accounts.app),
    ("department", people.departments_app),
    ("delegation", people.delegations_app),
    ("policy", policy.app),
    ("subscription", notices.app),
    ("event", notices.event_app),
    ("watch", watching.app),
    ("receipt", receipts.app),
):
    app.add_typer(_module, name=_name)


def hoist(argv: Sequence[str]) -> list[str]:
    """Move the global options, wherever they stand before ``--``, in front of the subcommand."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest.extend([word, *words])
        elif word in _FLAGS or any(word.startswith(f"{name}=") for name in _VALUED):
            front.append(word)
        elif word in _VALUED:
            front.append(word)
            value = next(words, None)
            if value is not None:
                front.append(value)
        else:
            rest.append(word)
    return front + rest


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. No exception leaves here as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character gets a question mark, not a traceback
            stream.reconfigure(errors="replace")
    words = hoist(sys.argv[1:] if argv is None else argv)
    STATE.json = "--json" in words  # so that an error in the options themselves is JSON too
    if STATE.json and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # RFC 8259 §8.1, whatever the terminal speaks
    try:
        result = app(args=words, prog_name="xinyin", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", "已中断。", "Interrupted.", 130)
    except XinyinError as exc:
        return _fail(exc.code, exc.message_zh, exc.message, exc.exit_status, exc.detail)
    except _ClickException as exc:
        return _usage(exc)
    except ImportError as exc:
        return _missing_part(exc)
    except OSError as exc:
        where = f" {exc.filename}" if exc.filename else ""
        return _fail("file", f"文件操作失败：{exc.strerror}{where}", f"Cannot use the file: {exc.strerror}{where}", 1)
    except Exception:  # noqa: BLE001 - the last net: the operator gets a sentence and a log, never a traceback
        return _internal()


def _usage(exc: Any) -> int:
    sentence = exc.format_message()
    context = getattr(exc, "ctx", None)
    if sentence == "Missing command." and context is not None and not STATE.json:
        # Whoever names a group without a command looks for what there is.
        sys.stdout.write(context.get_help() or "")
        return 2
    command = context.command_path if context is not None else "xinyin"
    return _fail(
        "usage",
        f"{in_chinese(sentence)}\n用法见 {command} --help",
        f"{in_english(sentence)}\nTry {command} --help",
        2 if isinstance(exc, _UsageError) else 1,
    )


def _missing_part(exc: ImportError) -> int:
    top = (exc.name or "").split(".")[0]
    if top and top not in _INNER_ROOMS | _OUTER_ROOMS:
        return _fail(
            "not-installed",
            f"此命令需要完整服务，缺少组件 {top}；请安装 xinyin[node]。",
            f"This command needs the whole service and the part {top} is missing; install xinyin[node].",
            1,
        )
    return _internal()


def _internal() -> int:
    import traceback

    text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {' '.join(sys.argv[1:2])}\n{traceback.format_exc()}\n"
    log = _log_file()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        log = Path(tempfile.gettempdir()) / f"xinyin-{os.getuid()}.log"
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
    return _fail(
        "internal",
        f"出现了程序自身的错误，未完成任何后续步骤；详情已写入 {log}，请连同所用命令一并报告。",
        f"Something went wrong inside Xinyin; the details are in {log}. Please report it with the command.",
        1,
        {"log": str(log)},
    )


def _log_file() -> Path:
    if STATE.home.is_dir():
        return STATE.home / "log" / "xinyin.log"
    return Path(tempfile.gettempdir()) / f"xinyin-{os.getuid()}.log"


def _fail(code: str, zh: str, en: str, status: int, detail: dict[str, Any] | None = None) -> int:
    if STATE.json:
        error = {"code": code, "message": en, "message_zh": zh, "detail": detail or {}}
        sys.stdout.write(json.dumps({"error": error}, ensure_ascii=False, indent=2, default=str) + "\n")
    else:
        sys.stderr.write(f"✗ {STATE.pick(zh, en)}\n")
    return status
