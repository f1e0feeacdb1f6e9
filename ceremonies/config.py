"""A node's own file: ``node.toml`` in its home."""

from __future__ import annotations

import json
import os
import re
import ssl
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crypto.errors import BadInput, Misconfigured, NotFound

FILE = "node.toml"
PORT = 8310

_REGION = re.compile(r"(1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12])[0-9]{4}", re.ASCII)
"""A region code: two digits of the province (GB/T 2260-2007), four below it."""


class NoNode(NotFound):
    """The home holds no node, or only half of one."""

    code = "no-node"


@dataclass(frozen=True)
class NodeConfig:
    """What a node is: its region (GB/T 2260, six digits), its name, its database, its address, and whether it is for real.

    ``founded`` is False until the founding ceremony has run to its end.
    """

    region: str
    name: str
    database: str
    base_url: str
    mode: str = "development"
    founded: bool = False

    @classmethod
    def fresh(cls, home: Path, region: str, name: str, database: str | None = None, base_url: str | None = None) -> NodeConfig:
        """The configuration of a new node; ``base_url`` goes into its certificates, so it is decided now.

        :raises BadInput: the region is no GB/T 2260 code or the name is empty
        """
        if not _REGION.fullmatch(region):
            raise BadInput(
                f"“{region}” is no region code; write the six digits of GB/T 2260, for example 310000.",
                f"“{region}”不是行政区划代码；请写 GB/T 2260 的六位数字，例如 310000。",
            )
        if not name.strip():
            raise BadInput("Give the region a name, for example --name 上海市.", "请给出区域名称，例如 --name 上海市。")
        url = database or f"sqlite:///{home / 'db.sqlite'}"
        return cls(region, name.strip(), url, (base_url or f"http://{region}.localhost:{PORT}").rstrip("/"))

    @classmethod
    def load(cls, home: Path) -> NodeConfig:
        """:raises NoNode: there is no node in ``home``"""
        try:
            values = tomllib.loads((home / FILE).read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise NoNode(
                f"There is no node in {home}; make one with: xinyin init --region 310000 --name 上海市",
                f"{home} 中没有节点；请先运行：xinyin init --region 310000 --name 上海市",
                home=str(home),
            ) from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise Misconfigured(f"{home / FILE} cannot be read: {exc}", f"无法读取 {home / FILE}：{exc}") from exc
        try:
            return cls(**{key: values[key] for key in cls.__dataclass_fields__ if key in values})
        except TypeError as exc:
            raise Misconfigured(f"{home / FILE} is incomplete: {exc}", f"{home / FILE} 不完整：{exc}") from exc

    def save(self, home: Path) -> None:
        """Write the file as a whole: after a crash there is the old one or the new one."""
        lines = ["# A Xinyin node. Written by xinyin init; base_url, mode and database may be edited while it is stopped."]
        for key in self.__dataclass_fields__:
            value = getattr(self, key)
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        _replace(home / FILE, "\n".join(lines) + "\n")

    def finish(self, home: Path) -> NodeConfig:
        """Write down that the founding is over, leaving what an operator has added to the file alone."""
        text = (home / FILE).read_text("utf-8")
        _replace(home / FILE, re.sub(r"(?m)^founded\s*=.*$", "founded = true", text))
        return replace(self, founded=True)


@dataclass(frozen=True)
class CallBackConfig:
    """``[call_backs]`` of node.toml: what the operator allows of receivers inside this network.

    ``private_hosts`` may lie on private addresses and be reached without TLS; ``ca_file`` (PEM) is the root of their
    certificates, beside the system's.
    """

    private_hosts: tuple[str, ...] = ()
    ca_file: str | None = None

    @classmethod
    def load(cls, home: Path) -> CallBackConfig:
        """:raises Misconfigured: not a list of host names, or no path"""
        return cls(*_hosts_and_root(home, "call_backs"))


@dataclass(frozen=True)
class RegionsConfig:
    """``[regions]`` of node.toml: what the operator allows of other regions' nodes, as :class:`CallBackConfig` of receivers.

    ``private_hosts`` may lie on private addresses (those under ``localhost`` also be reached without TLS): development nodes on
    one machine. A host is asked only if a trust list names it as well.
    """

    private_hosts: tuple[str, ...] = ()
    ca_file: str | None = None

    @classmethod
    def load(cls, home: Path) -> RegionsConfig:
        """:raises Misconfigured: not a list of host names, or no path"""
        return cls(*_hosts_and_root(home, "regions"))

    def tls(self) -> ssl.SSLContext | None:
        """The system's roots and those of ``ca_file``; None where the system's alone do."""
        if self.ca_file is None:
            return None
        context = ssl.create_default_context()
        context.load_verify_locations(self.ca_file)
        return context


def _hosts_and_root(home: Path, section: str) -> tuple[tuple[str, ...], str | None]:
    found = read_toml(home).get(section, {})
    hosts, ca_file = found.get("private_hosts", []), found.get("ca_file")
    if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts) or not isinstance(ca_file, str | None):
        raise Misconfigured(
            f"[{section}] in {home / FILE}: private_hosts is a list of host names, ca_file a path.",
            f"{home / FILE} 的 [{section}] 中，private_hosts 应为主机名列表，ca_file 应为文件路径。",
        )
    return tuple(hosts), ca_file


def read_toml(home: Path) -> dict[str, Any]:
    """The node's file as it is. :raises Misconfigured: it cannot be read"""
    try:
        return tomllib.loads((home / FILE).read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise Misconfigured(f"{home / FILE} cannot be read: {exc}", f"无法读取 {home / FILE}：{exc}") from exc


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)
