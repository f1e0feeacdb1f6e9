"""The key of a seal is rotated from staging to destruction while four processes seal over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.rotation import rotate_under_load
from tests.node_home import Service, founded_home, serving

LONGEST_GAP_MS = 5000.0
"""On a machine that runs other things too: a pause would last as long as a step of the rotation."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("no-pause")) as running:
        yield running


@pytest.mark.parametrize("suite", ["sm2", "rsa"])
def test_four_clients_seal_on_while_the_key_is_rotated(
    service: Service, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = service.node.accounts.issue_token("keeper", f"load {suite}")[1]
    outcome = rotate_under_load(service, token, service.seal()["id"], suite, lead=0.3)
    with capsys.disabled():
        print(f"\n{outcome.line()}")
    assert outcome.failures == []
    assert outcome.unverified == 0
    assert outcome.by_old + outcome.by_new == outcome.sealed
    assert min(outcome.by_old, outcome.by_new) > 0
    assert outcome.longest_gap_ms < LONGEST_GAP_MS
