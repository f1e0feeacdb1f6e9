"""``xinyin trust``: a region by address and by file, what is held of it, and an end to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ceremonies.node import Node
from cli.main import main
from tests.foreign_region import ForeignRegion
from tests.node_home import founded_home
from tests.served_region import allow_private


@pytest.fixture(scope="module")
def zhejiang() -> Iterator[ForeignRegion]:
    made = ForeignRegion("330000", "浙江省")
    made.server.pages["/trust/list.jws"] = made.trust_list(3)
    made.server.pages["/status/a"] = made.status_list({3: 1})
    yield made
    made.server.close()


@pytest.fixture(scope="module")
def home(zhejiang: ForeignRegion) -> Path:
    made = founded_home("trust-cli")
    allow_private(made, zhejiang.host)
    return made


def run(capsys: pytest.CaptureFixture[str], home: Path, *command: str) -> tuple[int, Any]:
    status = main(["--home", str(home), "--json", "trust", *command])
    return status, json.loads(capsys.readouterr().out)


def test_a_region_is_imported_refreshed_and_forgotten(
    home: Path, zhejiang: ForeignRegion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, refused = run(capsys, home, "import", zhejiang.base_url)
    error = refused["error"]
    assert (status, error["code"], error["detail"]["fingerprint"]) == (1, "trust-list-refused", zhejiang.pin)
    status, made = run(capsys, home, "import", zhejiang.base_url, "--pin", zhejiang.pin)
    assert (status, made["status"], made["region"], made["sequence"]) == (0, "imported", "330000", 3)
    node = Node.open(home, host=False)
    node.held.state(zhejiang.ref(3), datetime.now(UTC))
    node.close()
    _, held = run(capsys, home, "held")
    assert [(one["region"], one["kind"], one["stale"]) for one in held["items"]] == [("330000", "statuses", False)]
    file = tmp_path / "list.jws"
    file.write_bytes(zhejiang.trust_list(4))
    assert run(capsys, home, "import", str(file))[1]["sequence"] == 4  # pinned already
    status, told = run(capsys, home, "refresh")
    assert (status, told["items"][0]["status"]) == (1, "failed")  # its service still serves the list before
    zhejiang.server.pages["/trust/list.jws"] = zhejiang.trust_list(5)
    status, told = run(capsys, home, "refresh", "330000")
    assert (status, told["items"][0]["status"], told["items"][0]["sequence"]) == (0, "updated", 5)
    _, listed = run(capsys, home, "list")
    assert [(one["region"], one["own"], one["status"]) for one in listed["items"]] == [
        ("310000", True, "current"),
        ("330000", False, "current"),
    ]
    assert run(capsys, home, "forget", "330000")[1]["status"] == "forgotten"
    status, gone = run(capsys, home, "refresh", "330000")
    assert (status, gone["error"]["code"]) == (1, "not-found")
    assert run(capsys, home, "held")[1]["items"] == []
