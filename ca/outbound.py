"""Outside CAs over HTTP: :class:`ca.ports.StatusClient` filled by the ``net`` room, which limits hosts, sizes and times."""

from __future__ import annotations

from dataclasses import dataclass

from net import pki
from net.fetch import Fetcher


@dataclass(frozen=True)
class HttpStatusClient:
    """Asks only the hosts that ``fetcher`` allows; see :meth:`ca.outside.OutsideCertificates.hosts`."""

    fetcher: Fetcher

    def ocsp(self, url: str, request: bytes) -> bytes:
        return pki.ocsp(self.fetcher, url, request)

    def crl(self, url: str) -> bytes:
        return pki.crl(self.fetcher, url)

    def timestamp(self, url: str, request: bytes) -> bytes:
        return pki.timestamp(self.fetcher, url, request)

    def issuer(self, url: str) -> bytes:
        return pki.issuer_certificate(self.fetcher, url)
