"""The main job from the command line, as a script would do it: real tokens, real processes."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.main import main
from cli.supervise import _listen
from tests.node_home import EXAMPLES, founded_home

ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """Runs ``xinyin`` in a home, in this process (starting Python thirty times would be most of the test)."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "XINYIN_HOME": str(home), "LANG": "zh_CN.UTF-8", "LC_ALL": "zh_CN.UTF-8"}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(["--home", str(self.home), "--lang", "zh", *words])
        assert "Traceback" not in err.getvalue(), err.getvalue()
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())

    def json(self, *words: str, status: int = 0) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shell() -> Shell:
    return Shell(founded_home("script"))  # whom a script lets issue licences is no concern of other tests


def test_seal_issue_verify_withdraw_as_a_script_would(shell: Shell, tmp_path: Path) -> None:
    owner = ("--owner", "云江市市场监督管理局", "--uscc", "11310000MB2F30017A")
    seal = shell.json("seal", "create", *owner, "--idempotency-key", "script-seal")
    again = shell.json("seal", "create", *owner, "--idempotency-key", "script-seal")
    assert seal["id"] == again["id"]
    assert seal["status"] == "in-force"
    assert seal["id"] in [s["id"] for s in shell.json("seal", "list")["items"]]

    sealed = tmp_path / "sealed.pdf"
    options = ("--seal", seal["es_id"], "--out", str(sealed), "--suite", "sm2", "--level", "lt", "--at", "2,137,175")
    made = shell.json("seal", "apply", str(EXAMPLES / "approval.pdf"), *options)
    assert made["status"] == "valid"
    assert shell.json("verify", str(sealed))["answer"]["decision"] == "accept"
    assert shell.run("verify", str(sealed)).stdout.startswith("✔ 可以采信")

    licence = tmp_path / "licence.pdf"
    data = ("--type", "business-licence", "--data", str(EXAMPLES / "licence.json"), "--out", str(licence))
    issued = shell.json("licence", "issue", *data, "--seal", seal["id"])
    assert shell.json("verify", "--decide", str(licence))["licence"]["identifier"] == issued["identifier"]
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1.1)
    ended = shell.json("licence", "revoke", issued["id"], "--kind", "吊销", "--basis", "测试")
    assert ended["status"] == "withdrawn"
    refused = shell.json("verify", "--decide", str(licence), status=20)
    assert refused["verdict"] == "TOTAL-PASSED"
    assert shell.json("verify", str(licence))["answer"]["decision"] == "refuse"
    assert shell.json("licence", "show", issued["id"], "--at", moment)["status"] == "in-force"

    assert shell.json("seal", "suspend", seal["id"], "--reason", "测试")["status"] == "suspended"
    stopped = shell.json("seal", "apply", str(EXAMPLES / "approval.pdf"), *options, status=1)
    assert stopped["error"]["code"] == "seal-not-in-force"
    assert shell.json("verify", str(sealed))["answer"]["decision"] == "accept", "it was in force when it sealed"
    assert shell.json("seal", "resume", seal["id"], "--reason", "测试")["status"] == "in-force"


def test_no_seal_is_used_and_no_number_given_when_the_result_could_not_be_written(shell: Shell, tmp_path: Path) -> None:
    owner = ("--owner", "云江市市场监督管理局", "--uscc", "11310000MB2F30017A")
    seal = shell.json("seal", "create", *owner)["id"]
    approval, nowhere = str(EXAMPLES / "approval.pdf"), str(tmp_path / "none" / "out.pdf")
    refused = shell.json("seal", "apply", approval, "--seal", seal, "--out", nowhere, status=1)
    assert refused["error"]["code"] == "not-found"
    assert (
        shell.json("seal", "apply", approval, "--seal", seal, "--out", str(tmp_path), status=1)["error"]["code"] == "conflict"
    )
    assert shell.json("impression", "list", "--seal", seal)["items"] == []
    before = shell.json("licence", "list")["items"]
    data = ("--type", "business-licence", "--data", str(EXAMPLES / "licence.json"))
    shell.json("licence", "issue", *data, "--out", nowhere, status=1)
    assert shell.json("licence", "list")["items"] == before


@pytest.mark.parametrize("option", ["--at", "--keyword", "--straddle"])
def test_an_empty_place_is_refused_and_not_replaced_by_another(shell: Shell, tmp_path: Path, option: str) -> None:
    out = tmp_path / "out.pdf"
    words = ("seal", "apply", str(EXAMPLES / "approval.pdf"), "--seal", "any", "--out", str(out), option, "")
    assert shell.json(*words, status=2)["error"]["code"] == "usage"
    assert not out.exists()


def test_only_those_may_whom_the_rules_allow(shell: Shell, tmp_path: Path) -> None:
    seals = shell.json("seal", "list")["items"]
    options = ("--seal", seals[0]["id"], "--out", str(tmp_path / "x.pdf"))
    refused = shell.json("seal", "apply", str(EXAMPLES / "approval.pdf"), *options, "--as", "auditor", status=1)
    assert refused["error"]["code"] == "not-allowed"
    assert not (tmp_path / "x.pdf").exists()
    named = shell.json("seal", "apply", str(EXAMPLES / "approval.pdf"), *options, "--matter", "construction", status=1)
    assert "application" in named["error"]["message"], "a named matter needs an application"
    assert shell.json("audit", "list", "--as", "auditor")["items"]
    assert shell.json("key", "list", "--as", "keeper", status=1)["error"]["code"] == "not-allowed"


def test_a_batch_carries_on_where_it_stopped_and_reports_what_it_refused(shell: Shell, tmp_path: Path) -> None:
    seal = shell.json("seal", "list")["items"][0]["id"]
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for n in range(3):
        shutil.copy(EXAMPLES / "approval.pdf", folder / f"{n}.pdf")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    first = shell.json("seal", "batch", str(folder), "--seal", seal, "--out", str(out), status=1)
    states = {i["file"]: i["status"] for i in first["items"]}
    assert states == {"0.pdf": "sealed", "1.pdf": "sealed", "2.pdf": "sealed", "broken.pdf": "refused"}
    (out / "1.pdf").unlink()
    second = shell.json("seal", "batch", str(folder), "--seal", seal, "--out", str(out), status=1)
    assert [i.get("impression") for i in first["items"]] == [i.get("impression") for i in second["items"]]
    assert (out / "1.pdf").exists()


def test_the_log_is_whole_provable_and_checked_without_the_database(shell: Shell, tmp_path: Path) -> None:
    export, keys = tmp_path / "log.jsonl", tmp_path / "keys.pem"
    shell.json("audit", "export", "--out", str(export), "--keys", str(keys))
    assert shell.json("audit", "verify")["status"] == "whole"
    elsewhere = Shell(tmp_path / "nowhere")
    whole = elsewhere.json("audit", "verify", str(export), "--trust", str(keys))
    assert whole["status"] == "whole"
    assert whole["size"] > 10
    lines = export.read_text("utf-8").splitlines()
    export.write_text("\n".join([*lines[:5], *lines[6:]]) + "\n", "utf-8")
    assert elsewhere.json("audit", "verify", str(export), "--trust", str(keys), status=1)["status"] == "damaged"
    leaf = next(e for e in shell.json("audit", "list", "--limit", "500")["items"] if e["seq"] == 0)
    proof = tmp_path / "proof.json"
    shell.json("audit", "prove", leaf["id"], "--out", str(proof))
    assert elsewhere.json("audit", "verify", str(proof), "--trust", str(keys))["leaf"]["id"] == leaf["id"]
    said = elsewhere.run("audit", "verify", str(proof), "--trust", str(keys)).stdout
    assert leaf["id"] in said.replace("\n", "")
    assert "日志完整" not in said, "a proof speaks of one entry, not of the whole log"


def test_another_region_verifies_with_the_list_and_its_pin_alone(shell: Shell, tmp_path: Path) -> None:
    seal = next(s for s in shell.json("seal", "list")["items"] if s["status"] == "in-force")
    sealed = tmp_path / "sealed.pdf"
    options = ("--seal", seal["id"], "--out", str(sealed), "--level", "LT")
    shell.json("seal", "apply", str(EXAMPLES / "approval.pdf"), *options)
    listed = tmp_path / "list.jws"
    shutil.copy(shell.home / "trust" / "list.jws", listed)
    pin = shell.json("trust", "list")["items"][0]["id"]
    elsewhere = Shell(tmp_path / "nowhere")
    assert elsewhere.json("verify", str(sealed), status=10)["answer"]["decision"] == "check"
    unpinned = elsewhere.json("verify", str(sealed), "--trust", str(listed), status=1)
    assert pin in unpinned["error"]["message"], "the refusal says which fingerprint to compare"
    assert elsewhere.json("verify", str(sealed), "--trust", str(listed), "--pin", pin)["verdict"] == "TOTAL-PASSED"


def test_a_home_shows_nothing_to_other_accounts_of_the_machine(shell: Shell) -> None:
    shell.json("seal", "list")
    assert shell.home.stat().st_mode & 0o077 == 0
    for folder in ("secrets", "tokens", "blobs"):
        assert (shell.home / folder).stat().st_mode & 0o077 == 0, folder


def test_init_again_keeps_the_node_and_a_half_made_one_is_finished(shell: Shell, tmp_path: Path) -> None:
    fingerprint = shell.json("trust", "list")["items"][0]["id"]
    assert shell.json("init", "--region", "310000", "--name", "上海市")["status"] == "ready"
    assert shell.json("trust", "list")["items"][0]["id"] == fingerprint
    other = shell.json("init", "--region", "320000", "--name", "江苏省", status=1)
    assert other["error"]["code"] == "home-taken"

    half = Shell(tmp_path / "half")
    command = [sys.executable, "-m", "cli", "init", "--region", "310000", "--name", "上海市"]
    process = subprocess.Popen(command, cwd=ROOT, env=half.env, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if "CA" in line:  # in the middle of making keys and certificates
            time.sleep(1.0)
            process.send_signal(signal.SIGKILL)
            break
    process.wait(30)
    process.stderr.close()
    refused = half.json("seal", "list", status=1)
    assert refused["error"]["code"] == "no-node"
    assert "half made" in refused["error"]["message"]
    assert half.json("init", "--region", "310000", "--name", "上海市")["status"] == "ready"
    assert half.json("audit", "verify")["status"] == "whole"
    authorities = half.json("ca", "authorities")["items"]
    assert sorted((a["kind"], a["suite"]) for a in authorities) == sorted(
        (kind, suite) for kind in ("root", "issuing") for suite in ("rsa", "p256", "sm2")
    )


@contextmanager
def serving(shell: Shell, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``xinyin serve`` as a process, ready; killed in the end if it still runs."""
    command = [sys.executable, "-m", "cli", "serve", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=shell.env, stdout=file, stderr=file)
    try:
        assert _wait(lambda: _ready(port) == 200, 90), log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def test_serve_starts_everything_restarts_a_dead_signer_and_stops_in_order(shell: Shell, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with serving(shell, port, tmp_path / "serve.log") as process:
        taken = shell.json("serve", "--port", str(port), status=1)
        assert str(port) in taken["error"]["message"]
        signer = next(c for c in _children(process.pid) if c[1][-1] == "signer")
        os.kill(signer[0], signal.SIGKILL)
        assert _wait(lambda: _ready(port) == 503, 20), "red while the signer is gone"
        assert _wait(lambda: _ready(port) == 200, 60)
        assert signer[0] not in [pid for pid, _ in _children(process.pid)]
        with (EXAMPLES / "approval.pdf").open("rb") as document:
            answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/verifications", files={"file": document}, timeout=60)
        assert answer.status_code == 200
        children = [pid for pid, _ in _children(process.pid)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert "base_url" in (tmp_path / "serve.log").read_text("utf-8"), "codes lead to another port than this one"
    with serving(shell, port, tmp_path / "again.log") as process:
        children = [pid for pid, _ in _children(process.pid)]
        process.kill()
        assert _wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 20), "nobody is left behind"


def test_connections_to_the_service_send_at_once() -> None:
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def _ready(port: int) -> int:
    return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).status_code


def _children(parent: int) -> list[tuple[int, list[str]]]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            words = stat.with_name("cmdline").read_bytes().decode().strip("\0").split("\0")
        except (OSError, IndexError):
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append((int(stat.parent.name), words))
    return found


def _wait(ready: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if ready():
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    return False


def test_the_original_is_never_overwritten_by_the_sealed_document(shell: Shell, tmp_path: Path) -> None:
    original = tmp_path / "approval.pdf"
    original.write_bytes((ROOT / "examples" / "approval.pdf").read_bytes())
    before = original.read_bytes()
    refused = shell.json("seal", "apply", str(original), "--seal", "any", "--out", str(original), status=1)
    assert refused["error"]["code"] == "conflict"
    assert "原件" in refused["error"]["message_zh"]
    batch = shell.json("seal", "batch", str(tmp_path), "--seal", "any", "--out", str(tmp_path), status=1)
    assert [item["error"]["code"] for item in batch["items"]] == ["conflict"]
    assert original.read_bytes() == before


def test_a_document_of_ones_own_region_needs_no_rule_of_recognition(shell: Shell, tmp_path: Path) -> None:
    seal = shell.json("seal", "create", "--owner", "云江市档案局", "--uscc", "11310000MB0X70041A", "--suite", "rsa")
    sealed = tmp_path / "sealed.pdf"
    place = ("--at", "2,137,175", "--level", "T", "--out", str(sealed))
    shell.json("seal", "apply", str(ROOT / "examples" / "approval.pdf"), "--seal", seal["id"], *place)
    plain = shell.json("verify", str(sealed), "--decide")
    assert plain["answer"]["decision"] == "accept"
    assert "样本" in plain["answer"]["seal"]["message_zh"]
    asked = shell.json("verify", str(sealed), "--decide", "--matter", "no-such-matter")
    assert (asked["answer"]["decision"], asked["answer"]["matter"]["state"]) == ("accept", "ok")


def test_a_time_before_the_seal_is_answered_as_not_yet_sealed(shell: Shell, tmp_path: Path) -> None:
    seal = shell.json("seal", "list")["items"][0]["id"]
    sealed = tmp_path / "sealed.pdf"
    place = ("--at", "2,137,175", "--level", "T", "--out", str(sealed))
    shell.json("seal", "apply", str(ROOT / "examples" / "approval.pdf"), "--seal", seal, *place)
    early = shell.json("verify", str(sealed), "--at", "2020-01-01T00:00:00Z", status=10)
    assert "尚未盖章" in early["answer"]["seal"]["message_zh"]
