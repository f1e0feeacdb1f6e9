"""Every example of ``docs/integrating.md`` does what the page says, in its order, against a running service."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from ceremonies.config import FILE
from ceremonies.sample import APPROVER, sample_uscc
from ceremonies.watch_config import watch_configs
from ceremonies.watching import WatchedFolder
from records.models import DeliveryRow
from store.models import EventRow
from tests.node_home import EXAMPLES, REGION, Service, founded_home, serving
from verify.service import verify_bytes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrating.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(bash|python|toml) run(?:=(\w+))?\n(.*?)^```", PAGE, re.S | re.M)
APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()


class Reader:
    """Somebody who follows the page in a folder of his own, with the colleagues who sign off what is handed in."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder, self.port = service, folder, _free_port()
        self.output: list[str] = []
        seal = service.seal()
        (folder / "approval.pdf").write_bytes(APPROVAL)
        self.impression, sealed = self._sealed(seal["id"])
        (folder / "sealed.pdf").write_bytes(sealed)
        command = folder / "bin" / "xinyin"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m cli "$@"\n')
        command.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XINYIN_HOME": str(service.node.home),
            "XINYIN": service.url,
            "XINYIN_ISSUER": service.node.config.base_url,
            "DEPARTMENT": sample_uscc(REGION, APPROVER),
            "SEAL": seal["id"],
            "IMPRESSION": self.impression,
            "RECEIVER": f"http://localhost:{self.port}/",
            "PORT": str(self.port),
        }

    def _sealed(self, seal: str) -> tuple[str, bytes]:
        with self.service.client("keeper") as keeper:
            form = {"seal": seal, "page": "2", "x_mm": "137", "y_mm": "175"}
            made = keeper.post("/api/v1/impressions", files={"file": ("a.pdf", APPROVAL)}, data=form).json()
            return made["id"], keeper.get(made["document_url"]).content

    def run(self, language: str, text: str) -> None:
        command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        self.output.append(done.stdout)
        if "TOKEN" not in self.environment:
            self.environment["TOKEN"] = self.json("token.json")["token"]

    def json(self, name: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / name).read_text("utf-8"))
        return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home, ending = founded_home("documented"), threading.Event()
    with serving(home) as service:
        made = Reader(service, tmp_path_factory.mktemp("reader"))
        service.node.subscriptions.private_hosts = frozenset({f"localhost:{made.port}"})
        threads = [threading.Thread(target=work, args=(service, ending)) for work in (_colleagues, _courier)]
        for thread in threads:
            thread.start()
        yield made
        ending.set()
        for thread in threads:
            thread.join(20)


def _colleagues(service: Service, ending: threading.Event) -> None:
    """Reviewer and signer-off, who approve whatever waits for them."""
    applications = service.node.seals.applications
    while not ending.wait(0.3):
        for name, act in (("reviewer", applications.review), ("signer", applications.sign_off)):
            person = service.node.accounts.get(name)
            for one in applications.list(person, todo=True).items:
                act(person, one["id"])


def _courier(service: Service, ending: threading.Event) -> None:
    """The worker's part of notices."""
    while not ending.wait(0.3):
        service.node.courier.work()


def _settled(service: Service, seconds: float = 60) -> None:
    """Wait until every event was handed out and every notice taken."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with service.node.db.read() as session:
            new = session.scalar(sa.select(sa.func.count()).where(EventRow.seq.is_(None)))
            waiting = session.scalar(sa.select(sa.func.count()).where(DeliveryRow.status == "waiting"))
        if not new and not waiting:
            return
        time.sleep(0.2)
    raise AssertionError(f"{new} events and {waiting} notices are still waiting")


@pytest.fixture(scope="module")
def followed(reader: Reader) -> Reader:
    """The page from its beginning to its end."""
    receiver: subprocess.Popen[str] | None = None
    for language, name, text in BLOCKS:
        if name == "receiver":
            receiver = subprocess.Popen(
                [sys.executable, "-c", text], cwd=reader.folder, env=reader.environment, stdout=subprocess.PIPE, text=True
            )
        elif name == "watch":
            with (reader.service.node.home / FILE).open("a", encoding="utf-8") as file:
                file.write("\n" + text.replace('"SEAL"', json.dumps(reader.environment["SEAL"])))
        else:
            reader.run(language, text)
    assert receiver is not None
    _settled(reader.service)
    receiver.terminate()
    reader.output.append(receiver.communicate(timeout=20)[0])
    return reader


def test_the_page_has_its_examples() -> None:
    assert [name for _, name, _ in BLOCKS if name] == ["receiver", "watch"]
    assert len(BLOCKS) >= 10
    assert PAGE.count("```bash") == sum(language == "bash" for language, _, _ in BLOCKS), "every command is run"
    assert PAGE.count("```python") == sum(language == "python" for language, _, _ in BLOCKS), "every program is run"


def test_a_document_is_verified_with_the_answer_of_the_page(followed: Reader) -> None:
    verdict = followed.json("verdict.json")
    assert verdict["verdict"] == "TOTAL-PASSED"


def test_a_document_is_handed_in_with_curl_and_sealed_by_the_program(followed: Reader) -> None:
    application = followed.json("application.json")
    assert (application["status"], application["number"]) == ("submitted", "云审〔2026〕118号")
    assert application["track_code"]
    sealed = (followed.folder / "批复119号-盖章.pdf").read_bytes()
    context = followed.service.node.verification_context()
    assert verify_bytes(sealed, name="a.pdf", context=context)["verdict"] == "TOTAL-PASSED"
    operator = followed.service.node.actor(None)
    done = [
        one for one in followed.service.node.seals.applications.list(operator).items if one["number"] == "云审〔2026〕119号"
    ]
    assert [one["status"] for one in done] == ["delivered"]


def test_the_receiver_of_the_page_takes_notices(followed: Reader) -> None:
    (delivered,) = [one for one in followed.json("deliveries.json")["items"] if one["kind"] == "subscription.tested"]  # type: ignore[attr-defined]
    assert delivered["status"] == "delivered"
    assert "subscription.tested" in followed.output[-1]
    assert re.search(rf"^impression\.voided .*{followed.impression}", followed.output[-1], re.M)


def test_events_are_read_and_a_token_comes_from_a_key(followed: Reader) -> None:
    read = "".join(followed.output)
    assert re.search(r"^\d+ application\.sealed ", read, re.M)
    assert re.search(r"^\d+ applications$", read, re.M)
    assert followed.json("voided.json")["status"] == "voided"


def test_the_folder_of_the_page_seals_what_is_put_into_it(followed: Reader) -> None:
    node = followed.service.node
    (place,) = watch_configs(node.home)
    folder = WatchedFolder(node, replace(place, stable_seconds=0))
    (place.inbox / "通知书.pdf").write_bytes(APPROVAL)
    assert folder.work() == 1
    assert (place.outbox / "通知书.pdf.json").exists(), [path.read_text("utf-8") for path in place.failed.glob("*.txt")]
