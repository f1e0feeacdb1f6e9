"""``xinyin regions``: the story of two regions comes out as it should, on real nodes in processes of their own."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(900)
def test_a_licence_of_one_region_is_accepted_refused_asked_about_and_withdrawn_in_the_other(tmp_path: Path) -> None:
    """Every answer of the story, the enquiry that comes back and the region that is off included; nothing is left running."""
    folder = tmp_path / "two"
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--json", "regions", "--folder", str(folder)], capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")[-4000:]
    told = json.loads(done.stdout)
    assert told["status"] == "as-expected"
    answers = {item["what"]: item["found"] for item in told["items"]}
    assert answers["PDF, to open a bank account"] == "accept"
    assert answers["PDF, for road transport"] == "refuse"
    assert answers["Code on the phone, to open a bank account"] == "accept"
    assert answers["Photograph of the print"] == "accept"
    assert answers["Shanghai's answer"] == "yes"
    assert answers["The same PDF, withdrawn since"] == answers["The same phone, withdrawn since"] == "refuse"
    assert answers["Another licence, Shanghai being down"] == "accept"
    assert "上海市" in done.stderr.decode("utf-8")
    for region in told["regions"]:
        with (Path(region["home"]) / "run" / "signer.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while a signer still runs there
