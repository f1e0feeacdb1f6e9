"""How other regions' services are asked: only hosts that somebody vouched for, over TLS, within limits (:mod:`net.fetch`)."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from net.errors import AddressRefused
from net.fetch import Fetcher, Limits

LIMITS = Limits(size=16 * 1024 * 1024, time=5.0, redirects=0)
"""A clerk waits for some of these answers. Nothing is redirected: the address itself is what was vouched for."""


class Outbound:
    """
    :param private_hosts: those (``name``, or ``name:port``) that may lie on private addresses, and under ``localhost`` be asked
        without TLS: development nodes on one machine
    :param tls: with the root of the regions' certificates; the system's roots otherwise
    """

    def __init__(
        self, private_hosts: Iterable[str] = (), *, tls: ssl.SSLContext | None = None, limits: Limits = LIMITS
    ) -> None:
        self._private = frozenset(host.lower() for host in private_hosts)
        self._limits = limits
        self._tls = tls

    def scheme(self, host: str) -> str:
        """``https``; ``http`` for a private host (``name`` or ``name:port``) under ``localhost``."""
        name = host.lower().partition(":")[0]
        local = name == "localhost" or name.endswith(".localhost")
        return "http" if local and self._is_private(host) else "https"

    def get(self, url: str, hosts: Iterable[str], *, accept: str) -> bytes:
        """What is at ``url``, whose host must be among ``hosts``.

        :param hosts: ``name`` or ``name:port``, from an accepted trust list or named by an officer
        :raises AddressRefused: another host, a private address, or no TLS where it is due
        :raises XinyinError: it could not be fetched
        """
        allowed = {host.lower() for host in hosts}
        parts = urlsplit(url)
        private = {host for host in allowed if self._is_private(host)}
        if parts.scheme != "https" and self.scheme(parts.netloc) != "http":
            raise AddressRefused(
                "Other regions are asked over https only; nothing was fetched.", "只通过 https 访问其他地区；未获取任何内容。"
            )
        return Fetcher(allowed, private_hosts=private, limits=self._limits, tls=self._tls).get(url, accept=accept).data

    def _is_private(self, host: str) -> bool:
        return bool({host.lower(), host.lower().partition(":")[0]} & self._private)
