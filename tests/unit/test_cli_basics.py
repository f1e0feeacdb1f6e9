"""The command line's promises that need no node: global options anywhere, exit statuses, JSON errors, no traceback."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from cli.main import hoist, main

ROOT = Path(__file__).resolve().parents[2]


def xinyin(*words: str, home: Path, lang: str = "en_US.UTF-8") -> subprocess.CompletedProcess[str]:
    """One command in this process: starting Python for each would be most of the test."""
    out, err = io.StringIO(), io.StringIO()
    env = {"XINYIN_HOME": str(home), "LANG": lang, "LC_ALL": lang}
    with patch.dict(os.environ, env), redirect_stdout(out), redirect_stderr(err):
        status = main(list(words))
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["seal", "list", "--json"], ["--json", "seal", "list"]),
        (["seal", "--home", "/x", "list"], ["--home", "/x", "seal", "list"]),
        (["verify", "a.pdf", "--as=clerk", "--matter", "m"], ["--as=clerk", "--matter", "m", "verify", "a.pdf"]),
        (["verify", "--", "--json"], ["verify", "--", "--json"]),
    ],
)
def test_global_options_are_heard_wherever_they_stand(words: list[str], expected: list[str]) -> None:
    assert hoist(words) == expected


def test_a_file_without_seal_exits_30_and_garbage_40(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pdf"
    garbage.write_bytes(b"\x00\x01 not a document")
    unsealed = ROOT / "examples" / "approval.pdf"
    assert xinyin("verify", str(unsealed), home=tmp_path).returncode == 30
    assert xinyin("verify", str(garbage), home=tmp_path).returncode == 40
    both = xinyin("verify", str(unsealed), str(garbage), "--json", home=tmp_path)
    assert both.returncode == 40, "the worse of the two counts"
    assert [v["verdict"] for v in json.loads(both.stdout)] == ["NO-SIGNATURE", "UNREADABLE"]
    assert xinyin("verify", "--decide", str(unsealed), home=tmp_path).returncode == 10


def test_the_installed_command_is_this_one(tmp_path: Path) -> None:
    env = {**os.environ, "XINYIN_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "cli", "verify", "--json", str(ROOT / "examples" / "approval.pdf")]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (30, "")
    assert json.loads(done.stdout)["verdict"] == "NO-SIGNATURE"


def test_json_prints_one_document_and_nothing_else_before_or_after_the_subcommand(tmp_path: Path) -> None:
    unsealed = str(ROOT / "examples" / "approval.pdf")
    before = xinyin("--json", "verify", unsealed, home=tmp_path)
    after = xinyin("verify", unsealed, "--json", home=tmp_path)
    first, second = json.loads(before.stdout), json.loads(after.stdout)
    assert first == second
    assert first["answer"]["decision"] == "check"


def test_json_is_utf8_whatever_the_terminal_speaks(tmp_path: Path) -> None:
    env = {**os.environ, "XINYIN_HOME": str(tmp_path), "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "cli", "seal", "list", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False)
    assert "没有节点" in json.loads(done.stdout.decode("utf-8"))["error"]["message_zh"]


def test_a_missing_file_is_one_clear_sentence(tmp_path: Path) -> None:
    done = xinyin("verify", "/nowhere/at-all.pdf", home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nowhere/at-all.pdf" in done.stderr
    assert "Traceback" not in done.stderr
    chinese = xinyin("verify", "/nowhere/at-all.pdf", home=tmp_path, lang="zh_CN.UTF-8")
    assert "没有文件" in chinese.stderr


def test_usage_errors_exit_2_also_as_json(tmp_path: Path) -> None:
    done = xinyin("verify", "--json", home=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"
    bare = xinyin("seal", "--json", home=tmp_path)
    assert (bare.returncode, json.loads(bare.stdout)["error"]["code"]) == (2, "usage")
    assert xinyin("seal", "fly", home=tmp_path).returncode == 2
    assert xinyin("verify", "x.pdf", "--at", "yesterday", home=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "words",
    [
        ("verify",),
        ("fly",),
        ("seal", "fly"),
        ("seal", "apply", "x.pdf"),
        ("verify", "x.pdf", "--report", "long"),
        ("verify", "x.pdf", "--fast"),
        ("seal", "list", "--limit", "many"),
        ("seal", "list", "--limit", "0"),
        ("seal", "list", "--limit"),
        ("doctor", "now"),
    ],
)
def test_a_usage_error_is_said_in_chinese_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = xinyin(*words, "--json", home=tmp_path)
    said = json.loads(done.stdout)["error"]["message_zh"].split("\n")[0]
    assert done.returncode == 2
    assert re.search("没有|缺少|不对|多余|需要", said), said
    assert "Value error" not in done.stdout


def test_without_a_node_commands_say_how_to_make_one(tmp_path: Path) -> None:
    done = xinyin("seal", "list", "--json", home=tmp_path / "none")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "no-node"
    assert "xinyin init" in error["message"]
    assert "xinyin init" in error["message_zh"]


def test_a_home_that_is_a_file_is_no_node_either(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = xinyin("seal", "list", "--json", home=tmp_path / "file")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "no-node")


def test_init_refuses_a_region_that_is_none_and_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    for region in ("31", "999999", "300000", "١١٠٠٠٠"):
        assert xinyin("init", "--region", region, "--name", "上海市", home=tmp_path / "n").returncode == 1
    (tmp_path / "letters.txt").write_text("mine")
    taken = xinyin("init", "--region", "310000", "--name", "上海市", "--json", home=tmp_path)
    assert json.loads(taken.stdout)["error"]["code"] == "home-taken"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["letters.txt"]


def test_an_internal_error_is_a_sentence_and_a_log_never_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("region = 5\n[broken")
    broken = xinyin("seal", "list", home=tmp_path)
    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    code = (
        "import cli.seals as s, sys\ns.opened = lambda: 1 / 0\n"
        "from cli.main import main\nsys.exit(main(['seal', 'list', '--json']))"
    )
    env = {**os.environ, "XINYIN_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "internal"
    assert "ZeroDivisionError" in Path(error["detail"]["log"]).read_text()


def test_verifying_loads_no_database_no_token_driver_and_no_web_framework(tmp_path: Path) -> None:
    unsealed = str(ROOT / "examples" / "approval.pdf")
    code = (
        "import sys\nfrom cli.main import main\nstatus = main(['verify', sys.argv[1]])\n"
        "heavy = {'sqlalchemy', 'pkcs11', 'fastapi', 'uvicorn', 'typst', 'cedarpy', 'dbos'} & set(sys.modules)\n"
        "print(status, sorted(heavy), file=sys.stderr)"
    )
    env = {**os.environ, "XINYIN_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, unsealed], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip().splitlines()[-1] == "30 []"
