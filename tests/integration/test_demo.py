"""``xinyin demo``: every expectation holds, a second run works, surprises show in the exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ceremonies import demo
from ceremonies.forgery import tampered
from ceremonies.node import Node
from ceremonies.sample import REGISTRAR
from cli import storytelling
from tests.node_home import EXAMPLES

ROOT = Path(__file__).resolve().parents[2]


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XINYIN_HOME": str(home), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "cli", "demo", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_demo_tells_the_main_job_twice_and_takes_further_files(tmp_path: Path) -> None:
    first = run(tmp_path / "home", "--json")
    assert first.returncode == 0, first.stdout + first.stderr
    told = json.loads(first.stdout)
    assert told["status"] == "as-expected"
    decisions = [(i["verdict"], i["decision"]) for i in told["items"]]
    assert decisions.count(("TOTAL-PASSED", "accept")) == 3
    assert decisions.count(("TOTAL-FAILED", "refuse")) == 3
    assert decisions[-1] == ("TOTAL-PASSED", "refuse"), "a withdrawn licence with a perfect signature is refused"
    assert all(Path(i["file"]).is_file() for i in told["items"])

    with closing(Node.open(tmp_path / "home")) as node:  # what a newcomer tried meanwhile does not spoil the second run
        bureau = next(s for s in node.seals.list(node.actor(None)).items if s["name"] == REGISTRAR)
        node.seals.suspend(node.actor(None), bureau["id"], reason="试")
    mine = tmp_path / "我的 文件.pdf"
    mine.write_bytes((EXAMPLES / "approval.pdf").read_bytes())
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"no PDF at all")
    second = run(tmp_path / "home", str(mine), str(broken), "--lang", "zh")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "沿用已有印章" in second.stdout
    assert "我的 文件.pdf，SM2 签章" in second.stdout
    assert "broken.pdf 未盖章" in second.stdout
    assert "全部符合预期" in second.stdout
    missing = run(tmp_path / "home", "/nowhere.pdf")
    assert (missing.returncode, missing.stdout) == (1, "")


def test_a_verdict_that_was_not_expected_makes_the_demo_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = {"decision": "accept", **{k: {"state": "ok", "message": "", "message_zh": ""} for k in ("document", "seal")}}
    verdict = {"verdict": "TOTAL-PASSED", "answer": answer, "reasons": []}
    scene = demo.Scene("篡改", "tampered", tmp_path / "x.pdf", demo.ALTERED, verdict)
    outcome = demo.Outcome(tmp_path, [scene])
    assert not outcome.good

    class Closed:
        def close(self) -> None:
            pass

    monkeypatch.setattr(demo, "run", lambda *_: outcome)
    monkeypatch.setattr("ceremonies.founding.found", lambda *_: Closed())
    assert storytelling.tell(tmp_path, []) == 1


def test_a_tampered_copy_differs_in_one_byte_and_still_opens() -> None:
    original = (EXAMPLES / "approval.pdf").read_bytes()
    edited = tampered(original)
    assert len(edited) == len(original)
    assert sum(a != b for a, b in zip(original, edited, strict=True)) == 1
