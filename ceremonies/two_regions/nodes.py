"""The two nodes of the story: founded afresh, and served by processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ceremonies.config import FILE, NodeConfig
from ceremonies.two_regions.browser import Browser
from crypto.errors import Conflict, Unavailable, XinyinError
from formats.regions import region_name
from people.demo import demo_passwords

REGIONS = tuple((code, region_name(code)[1]) for code in ("310000", "330000"))
FILES = "files"
"""Folder of what the people of the story handle."""
_STARTED = 90.0
"""Seconds: a slow machine takes that long to open the tokens and prepare its pages."""


@dataclass
class Region:
    """One region: its home, its address, and the process that serves it."""

    code: str
    name: str
    home: Path
    base_url: str
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def name_en(self) -> str:
        """What it is called in English."""
        return region_name(self.code)[0]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.base_url.rpartition(":")[2])

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.home / "log" / "serve.log"

    def browser(self) -> Browser:
        """Somebody's browser at this region."""
        return Browser(self.base_url)

    def found(self) -> None:
        """Make the node, in a process of its own so that two can be made at once."""
        self.command("init", "--region", self.code, "--name", self.name, "--base-url", self.base_url)

    def start(self) -> None:
        """Begin to serve; see :meth:`ready`. The process ends with the thread that calls this (``PR_SET_PDEATHSIG``)."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "cli", "--home", str(self.home), "serve", "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "XINYIN_SUPERVISOR": str(os.getpid())},
            )

    def ready(self) -> None:
        """Wait until it answers. :raises Unavailable: it does not come up"""
        assert self.process is not None
        deadline = time.monotonic() + _STARTED
        browser = self.browser()
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(XinyinError):
                if browser.get("/readyz").status == 200:
                    browser.close()
                    return
            time.sleep(0.2)
        self.stop()
        raise Unavailable(f"{self.name_en} does not start; see {self.log}.", f"{self.name} 无法启动；请查看 {self.log}。")

    def stop(self) -> None:
        """End the process and those that it started."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def password(self, name: str) -> str:
        """Of a demo account."""
        return demo_passwords(self.home / "secrets")[name]

    def command(self, *arguments: str) -> Any:
        """Run ``xinyin`` in this home; its JSON. :raises Unavailable: it failed, in its own words"""
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "cli", "--home", str(self.home), "--json", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode not in (0, 10, 20):
            said = (done.stderr.decode("utf-8", "replace") or done.stdout.decode("utf-8", "replace")).strip()[-600:]
            raise Unavailable(f"xinyin {' '.join(arguments)}: {said}", f"命令 xinyin {' '.join(arguments)} 失败：{said}")
        return json.loads(done.stdout)


def make(base: Path, progress: Callable[[str, str], None]) -> list[Region]:
    """Found both regions afresh under ``base``; what an earlier story left there is removed.

    :raises Conflict: ``base`` holds something else, or an earlier story still runs there
    """
    _clear(base)
    progress("建立两个地区的节点：各自的数据库、令牌与 CA", "Founding both regions: databases, tokens and CAs of their own")
    regions = [Region(code, name, base / code, f"http://{code}.localhost:{_free_port()}") for code, name in REGIONS]
    _side_by_side(regions, Region.found)
    hosts = json.dumps([region.base_url.partition("://")[2] for region in regions])
    for region in regions:
        with (region.home / FILE).open("a", encoding="utf-8") as file:
            file.write(f"\n[regions]\n# On this machine, and asked without TLS.\nprivate_hosts = {hosts}\n")
    return regions


def start(regions: list[Region]) -> None:
    """Serve all of them. :raises Unavailable: one does not come up"""
    for region in regions:
        region.start()
    _side_by_side(regions, Region.ready)


def _side_by_side(regions: list[Region], work: Callable[[Region], None]) -> None:
    with ThreadPoolExecutor(len(regions)) as pool:
        for done in [pool.submit(work, region) for region in regions]:
            done.result()


def _clear(base: Path) -> None:
    names = {FILES, *(code for code, _ in REGIONS)}
    strangers = sorted(path.name for path in base.iterdir() if path.name not in names) if base.is_dir() else []
    if strangers:
        raise Conflict(
            f"{base} holds other files ({', '.join(strangers[:3])}); name another folder with --home.",
            f"{base} 中有其他文件（{'、'.join(strangers[:3])}）；请用 --home 另选文件夹。",
        )
    for code in names:
        home = base / code
        if home.is_dir():
            if (home / FILE).is_file() and _answers(NodeConfig.load(home).base_url):
                raise Conflict(
                    f"The region {code} of an earlier run is still running; stop it first (Ctrl-C there).",
                    f"上一次运行的地区 {code} 仍在运行；请先停止它（在那个窗口按 Ctrl-C）。",
                )
            shutil.rmtree(home)
    base.mkdir(parents=True, exist_ok=True)


def _answers(base_url: str) -> bool:
    try:
        return Browser(base_url).get("/healthz").status == 200
    except XinyinError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
