"""Signing in at OpenID providers, ``[oidc]`` (staff) and ``[citizens]``, with the network that ``people`` does not have."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ceremonies.config import FILE, read_toml
from crypto.errors import Misconfigured
from net.fetch import Fetcher, Limits
from store.db import utc_now

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.citizen_oidc import CitizenSignIn
    from people.oidc import OidcService

_LIMITS = Limits(size=1 << 20, time=10.0, redirects=0)
_FORM = "application/x-www-form-urlencoded"


def provider(node: Node) -> OidcService | None:
    """The provider that node.toml names; None where staff sign in with local accounts alone.

    :raises Misconfigured: ``[oidc]`` does not do, or a file that it names cannot be read
    """
    table = _section(node.home, "oidc")
    if table is None:
        return None
    from people.oidc import OidcSettings

    web = _web(node.home, table, "oidc")
    settings = OidcSettings.from_table(table, lambda name: _read(node.home, name, "oidc"))
    return node.accounts.oidc(settings, web)


def citizen_provider(node: Node) -> CitizenSignIn | None:
    """The provider at which citizens sign in, as node.toml names it; None where it names none.

    :raises Misconfigured: ``[citizens]`` does not do, or a file that it names cannot be read
    :raises DevelopmentProvider: a production node would take the word of a provider for development
    """
    table = _section(node.home, "citizens")
    if table is None:
        return None
    from people.citizen_oidc import CitizenSettings, CitizenSignIn, refuse_development

    web = _web(node.home, table, "citizens")
    settings = CitizenSettings.from_table(table, lambda name: _read(node.home, name, "citizens"))
    production = node.mode == "production"
    if production:
        refuse_development(settings.oidc.issuer)
    return CitizenSignIn(node.db, node.audit, node.region, settings, web, node.citizens, production=production, now=utc_now)


def _section(home: Path, name: str) -> dict[str, Any] | None:
    table = read_toml(home).get(name)
    if table is not None and not isinstance(table, dict):
        raise Misconfigured(f"[{name}] in {home / FILE} is a table.", f"{home / FILE} 中的 [{name}] 应为一节。")
    return table


def _web(home: Path, table: dict[str, Any], section: str) -> _Web:
    """The network to a section's provider; takes what is about it out of the table."""
    own: dict[str, Any] = {key: table.pop(key) for key in ("hosts", "ca_file") if key in table}
    return _Web(home, own, str(table.get("issuer", "")), section)


class _Web:
    """Outbound HTTP to the provider: the issuer's host, which the operator named and may lie in the own network, and ``hosts``.

    ``hosts`` are for providers whose endpoints live elsewhere than their issuer; ``ca_file`` (PEM) is the root of a provider
    with a certificate of the own network.
    """

    def __init__(self, home: Path, table: Mapping[str, Any], issuer: str, section: str) -> None:
        hosts, ca_file = table.get("hosts", []), table.get("ca_file")
        if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts) or not isinstance(ca_file, str | None):
            raise Misconfigured(
                f"[{section}] in node.toml: hosts is a list of host names, ca_file a path; mend the file.",
                f"node.toml 的 [{section}] 中，hosts 应为主机名列表，ca_file 应为文件路径。",
            )
        tls = ssl.create_default_context()
        if ca_file is not None:
            tls.load_verify_locations(cadata=_read(home, ca_file, section))
        self._fetcher = Fetcher(hosts, private_hosts=[urlsplit(issuer).netloc.lower()], limits=_LIMITS, tls=tls)

    def get(self, url: str, headers: Mapping[str, str]) -> bytes:
        return self._fetcher.get(url, accept="application/json", headers=headers).data

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        sent = {name: value for name, value in headers.items() if name.lower() not in ("content-type", "accept")}
        return self._fetcher.post(url, body, content_type=_FORM, accept="application/json", headers=sent).data


def _read(home: Path, name: str, section: str) -> str:
    """The text of a file; a relative name counts from the node's home."""
    path = home / name
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Misconfigured(
            f"[{section}] names {path}, which cannot be read.", f"[{section}] 指定的文件 {path} 无法读取。"
        ) from exc
