"""The timestamp units (RFC 3161): SM3 imprints go to the SM2 unit, all others to the RSA one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

from ca.errors import not_founded
from ca.models import CertificateRow
from ca.ports import Keys, StatusClient
from ca.register import Register, parsed
from ca.schemas import CaConfig
from crypto.errors import Misconfigured, XinyinError
from crypto.keys import Signer
from crypto.suites import DigestAlgorithm, Suite
from formats import tsp
from formats.asn1 import MalformedDer
from formats.x509 import Certificate


class Timestamps:
    """Answers requests, and stamps digests for the sealing path of this process.

    Serial numbers are 127 random bits: unique across restarts and units without a row that every stamp would have to lock
    (RFC 3161 §2.4.2 asks for uniqueness, not for order).
    """

    def __init__(
        self, register: Register, keys: Keys, config: CaConfig, client: StatusClient | None, now: Callable[[], datetime]
    ) -> None:
        self.register = register
        self.keys = keys
        self.config = config
        self.client = client
        self.now = now

    def respond(self, request: bytes) -> bytes:
        """DER TimeStampResp to a DER TimeStampReq; total: refusals are rejections with a PKIFailureInfo bit."""
        try:
            asked = tsp.parse_request(request)
            if asked.policy not in (None, self.config.timestamp_policy):
                return tsp.build_rejection(
                    tsp.Failure.UNACCEPTED_POLICY, f"Only policy {self.config.timestamp_policy} is offered."
                )
            return tsp.build_response(self._token(asked))
        except MalformedDer as exc:
            return tsp.build_rejection(tsp.Failure.BAD_DATA_FORMAT, exc.message)
        except tsp.RequestRefused as exc:
            return tsp.build_rejection(exc.failure, exc.message)
        except XinyinError:
            return tsp.build_rejection(tsp.Failure.SYSTEM_FAILURE, "The timestamp unit is out of order; try again later.")

    def token(self, digest: DigestAlgorithm, imprint: bytes) -> bytes:
        """A TimeStampToken (DER ContentInfo) over a digest, from the outside TSA if one is configured, else from our own unit.

        :raises XinyinError: the unit or the outside TSA does not answer, or answers something else
        """
        request = tsp.build_request(digest, imprint)
        if self.config.outside_timestamps is None:
            return self._token(tsp.parse_request(request))
        if self.client is None:
            raise Misconfigured(
                "An outside timestamp service is configured, but this process may not call out.",
                "已配置外部时间戳服务，但本进程不允许对外访问。",
            )
        answer = self.client.timestamp(self.config.outside_timestamps, request)
        return tsp.token_of(answer, request)

    def _token(self, asked: tsp.TimestampRequest) -> bytes:
        signer, certificate, chain = self._unit(Suite.SM2 if asked.digest is DigestAlgorithm.SM3 else Suite.RSA)
        return tsp.build_token(
            digest=asked.digest,
            imprint=asked.imprint,
            serial=secrets.randbits(127) | 1 << 126,
            gen_time=self.now(),
            policy=self.config.timestamp_policy,
            signer=signer,
            certificate=certificate,
            chain=chain,
            nonce=asked.nonce,
            accuracy_seconds=self.config.timestamp_accuracy_s,
            embed_certificates=asked.certificates_wanted,
        )

    def _unit(self, suite: Suite) -> tuple[Signer, Certificate, list[Certificate]]:
        """Signer, certificate and issuing CA of the unit for this suite (of the first other one where a suite is not run)."""
        roles = (self.register.role("tsa", s) for s in (suite, *self.config.suites))
        role = next((r for r in roles if r is not None), None)
        if role is None:
            raise not_founded("timestamp unit", "时间戳服务单元")
        generation = self.keys.active(role)
        moment = self.now()
        rows = self.register.rows(
            CertificateRow.generation_id == generation.id,
            CertificateRow.profile == "tsa",
            CertificateRow.status == "good",
            CertificateRow.not_before <= moment,
            CertificateRow.not_after >= moment,
            limit=1,
        )
        if not rows:
            raise not_founded("valid certificate for its timestamp unit", "时间戳单元的有效证书")
        row = rows[0]
        assert row.der is not None
        if row.authority is not None:
            chain = [self.register.authority_certificate(row.authority)]
        else:
            chain = Certificate.parse_many((row.chain or "").encode())[:1]
        return self.keys.signer(generation.id, "tsa"), parsed(row.der), chain
