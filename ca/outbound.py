"""Outside CAs over HTTP: :class:`ca.ports.StatusClient` filled by the ``net`` room, which limits hosts, sizes and times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from net import pki
from net.fetch import Fetcher


@dataclass(frozen=True)
class HttpStatusClient:
    """Asks only the hosts that ``hosts`` gives at that moment: those named in imported certificates, and the configured TSA.

    :param hosts: see :meth:`ca.outside.OutsideCertificates.hosts`
    :param private: hosts may lie on private addresses: several development nodes on one machine, never production
    """

    hosts: Callable[[], Iterable[str]]
    private: bool = False

    def ocsp(self, url: str, request: bytes) -> bytes:
        return pki.ocsp(self._fetcher(), url, request)

    def crl(self, url: str) -> bytes:
        return pki.crl(self._fetcher(), url)

    def timestamp(self, url: str, request: bytes) -> bytes:
        return pki.timestamp(self._fetcher(), url, request)

    def issuer(self, url: str) -> bytes:
        return pki.issuer_certificate(self._fetcher(), url)

    def _fetcher(self) -> Fetcher:
        allowed = frozenset(self.hosts())
        return Fetcher(private_hosts=allowed) if self.private else Fetcher(allowed)
