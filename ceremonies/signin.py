"""Signing in at an OpenID provider: ``[oidc]`` of node.toml, with the network that ``people`` does not have."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ceremonies.config import FILE, read_toml
from crypto.errors import Misconfigured
from net.fetch import Fetcher, Limits

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.oidc import OidcService

_LIMITS = Limits(size=1 << 20, time=10.0, redirects=0)
_FORM = "application/x-www-form-urlencoded"


def provider(node: Node) -> OidcService | None:
    """The provider that node.toml names; None where staff sign in with local accounts alone.

    :raises Misconfigured: ``[oidc]`` does not do, or a file that it names cannot be read
    """
    table = read_toml(node.home).get("oidc")
    if table is None:
        return None
    if not isinstance(table, dict):
        raise Misconfigured(f"[oidc] in {node.home / FILE} is a table.", f"{node.home / FILE} 中的 [oidc] 应为一节。")
    from people.oidc import OidcSettings

    web = _Web(node.home, {key: table.pop(key) for key in ("hosts", "ca_file") if key in table}, str(table.get("issuer", "")))
    settings = OidcSettings.from_table(table, lambda name: _read(node.home, name))
    return node.accounts.oidc(settings, web)


class _Web:
    """Outbound HTTP to the provider: the issuer's host, which the operator named and may lie in the own network, and ``hosts``.

    ``hosts`` are for providers whose endpoints live elsewhere than their issuer; ``ca_file`` (PEM) is the root of a provider
    with a certificate of the own network.
    """

    def __init__(self, home: Path, table: Mapping[str, Any], issuer: str) -> None:
        hosts, ca_file = table.get("hosts", []), table.get("ca_file")
        if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts) or not isinstance(ca_file, str | None):
            raise Misconfigured(
                "[oidc] in node.toml: hosts is a list of host names, ca_file a path; mend the file.",
                "node.toml 的 [oidc] 中，hosts 应为主机名列表，ca_file 应为文件路径。",
            )
        tls = ssl.create_default_context()
        if ca_file is not None:
            tls.load_verify_locations(cadata=_read(home, ca_file))
        self._fetcher = Fetcher(hosts, private_hosts=[urlsplit(issuer).netloc.lower()], limits=_LIMITS, tls=tls)

    def get(self, url: str, headers: Mapping[str, str]) -> bytes:
        return self._fetcher.get(url, accept="application/json", headers=headers).data

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        sent = {name: value for name, value in headers.items() if name.lower() not in ("content-type", "accept")}
        return self._fetcher.post(url, body, content_type=_FORM, accept="application/json", headers=sent).data


def _read(home: Path, name: str) -> str:
    """The text of a file; a relative name counts from the node's home."""
    path = home / name
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Misconfigured(f"[oidc] names {path}, which cannot be read.", f"[oidc] 指定的文件 {path} 无法读取。") from exc
