"""OCSP requests and responses (RFC 6960; nonces RFC 9654): reading, building, and who may sign for an issuer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from asn1crypto import algos, core, keys
from asn1crypto import ocsp as aocsp
from asn1crypto import x509 as ax

from crypto.keys import PublicKey, Signer
from crypto.suites import Scheme, default_scheme
from formats.asn1 import check_der, children, header, lazy, malformed, scheme_of, signature_algorithm
from formats.crl import reason_name, reason_value
from formats.x509 import EKU_OCSP_SIGNING, Certificate, sequence

MAX_REQUEST = 16 * 1024
MAX_RESPONSE = 512 * 1024
HASHES = ("sha1", "sha256", "sha384", "sha512", "sm3")
"""Hashes that a CertID may use. It is a lookup key, no protection hangs on it: SHA-1 is what clients send (RFC 6960 §4.3)."""


@dataclass(frozen=True)
class CertId:
    """Whom a question or an answer is about (RFC 6960 §4.1.1): hashes of the issuer's name and key, and the serial number."""

    algorithm: str
    name_hash: bytes
    key_hash: bytes
    serial: int

    @classmethod
    def of(cls, certificate: Certificate, issuer: Certificate, algorithm: str = "sha1") -> CertId:
        return cls(algorithm, *issuer_hashes(issuer, algorithm), certificate.serial)

    def is_for(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Whether this names that certificate of that issuer."""
        return (
            self.serial == certificate.serial
            and self.algorithm in HASHES
            and certificate.issuer_der == issuer.subject_der
            and issuer_hashes(issuer, self.algorithm) == (self.name_hash, self.key_hash)
        )

    def to_asn1(self) -> aocsp.CertId:
        identifier: dict[str, Any] = {"algorithm": self.algorithm}
        if self.algorithm != "sm3":
            identifier["parameters"] = core.Null()
        return aocsp.CertId(
            {
                "hash_algorithm": algos.DigestAlgorithm(identifier),
                "issuer_name_hash": self.name_hash,
                "issuer_key_hash": self.key_hash,
                "serial_number": self.serial,
            }
        )

    @classmethod
    def from_asn1(cls, value: Any) -> CertId:
        algorithm = value["hash_algorithm"]["algorithm"].native
        return cls(algorithm, value["issuer_name_hash"].native, value["issuer_key_hash"].native, value["serial_number"].native)


@lru_cache(maxsize=256)
def issuer_hashes(issuer: Certificate, algorithm: str) -> tuple[bytes, bytes]:
    """(hash of the subject's DER, hash of the public key's BIT STRING contents) of an issuer."""
    bits = keys.PublicKeyInfo.load(issuer.spki)["public_key"].contents[1:]
    return _hash(algorithm, issuer.subject_der), _hash(algorithm, bits)


def _hash(algorithm: str, data: bytes) -> bytes:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    digest.update(data)
    return digest.digest()


# --- requests ---------------------------------------------------------------------------------------------------------------


class OcspRequest:
    """One OCSP request; make it with :meth:`parse`."""

    _what = "OCSP request"
    _what_zh = "OCSP 请求"

    def __init__(self, der: bytes) -> None:
        self.der = der

    @classmethod
    def parse(cls, data: bytes) -> OcspRequest:
        """:raises MalformedDer: not a request, over 16 KiB, or with no certificate in it"""
        check_der(data, what=cls._what, what_zh=cls._what_zh, max_bytes=MAX_REQUEST)
        request = cls(bytes(data))
        if not request.cert_ids:
            raise malformed(cls._what, cls._what_zh, "no certificate asked about")
        request.nonce  # noqa: B018 - decoded now, so that nothing raises later
        return request

    @lazy
    def _asn1(self) -> aocsp.OCSPRequest:
        return aocsp.OCSPRequest.load(self.der, strict=True)

    @lazy
    def cert_ids(self) -> tuple[CertId, ...]:
        return tuple(CertId.from_asn1(r["req_cert"]) for r in self._asn1["tbs_request"]["request_list"])

    @lazy
    def nonce(self) -> bytes | None:
        return _nonce(self._asn1["tbs_request"]["request_extensions"])


def _nonce(extensions: Any) -> bytes | None:
    if isinstance(extensions, core.Void):
        return None
    for extension in extensions:
        if extension["extn_id"].dotted == "1.3.6.1.5.5.7.48.1.2":
            value: bytes = extension["extn_value"].parsed.native
            return value
    return None


def build_request(
    certificate: Certificate, issuer: Certificate, *, nonce: bytes | None = None, algorithm: str = "sha1"
) -> bytes:
    """DER OCSPRequest about one certificate; ``nonce`` 1 to 128 bytes (RFC 9654 §2.1)."""
    tbs: dict[str, Any] = {"request_list": [{"req_cert": CertId.of(certificate, issuer, algorithm).to_asn1()}]}
    if nonce is not None:
        octets = core.ParsableOctetString(core.OctetString(nonce).dump())
        tbs["request_extensions"] = [{"extn_id": "nonce", "critical": False, "extn_value": octets}]
    return bytes(aocsp.OCSPRequest({"tbs_request": aocsp.TBSRequest(tbs)}).dump())


# --- responses --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a responder says of one certificate: ``status`` is good, revoked or unknown."""

    cert_id: CertId
    status: str
    this_update: datetime
    next_update: datetime | None = None
    revoked_at: datetime | None = None
    reason: str | None = None

    def to_asn1(self) -> aocsp.SingleResponse:
        if self.status == "revoked":
            assert self.revoked_at is not None
            info: dict[str, Any] = {"revocation_time": _whole(self.revoked_at)}
            if self.reason and self.reason != "unspecified":
                info["revocation_reason"] = reason_value(self.reason)
            status = aocsp.CertStatus(name="revoked", value=aocsp.RevokedInfo(info))
        else:
            status = aocsp.CertStatus(name=self.status, value=core.Null())
        made: dict[str, Any] = {
            "cert_id": self.cert_id.to_asn1(),
            "cert_status": status,
            "this_update": _whole(self.this_update),
        }
        if self.next_update is not None:
            made["next_update"] = _whole(self.next_update)
        return aocsp.SingleResponse(made)

    @classmethod
    def from_asn1(cls, value: Any) -> Answer:
        for extension in value["single_extensions"] or []:
            if extension["critical"].native:
                raise ValueError(f"critical extension {extension['extn_id'].dotted} is not understood")
        status, revoked_at, reason = value["cert_status"].name, None, None
        if status == "revoked":
            info = value["cert_status"].chosen
            revoked_at = info["revocation_time"].native.astimezone(UTC)
            given = info["revocation_reason"]
            reason = "unspecified" if isinstance(given, core.Void) else reason_name(given)
        until = value["next_update"].native
        return cls(
            CertId.from_asn1(value["cert_id"]),
            status,
            value["this_update"].native.astimezone(UTC),
            until.astimezone(UTC) if until is not None else None,
            revoked_at,
            reason,
        )


def _whole(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


class OcspResponse:
    """An immutable view over one OCSP response. Signatures are checked over the original bytes."""

    _what = "OCSP response"
    _what_zh = "OCSP 响应"

    def __init__(self, der: bytes) -> None:
        self.der = der

    @classmethod
    def parse(cls, data: bytes) -> OcspResponse:
        """Decodes all of it. :raises MalformedDer: not a (basic) response, or over 512 KiB"""
        check_der(data, what=cls._what, what_zh=cls._what_zh, max_bytes=MAX_RESPONSE)
        response = cls(bytes(data))
        if response.status == "successful":
            for name in ("_slices", "produced_at", "answers", "certificates", "nonce", "_responder", "signature_scheme"):
                getattr(response, name)
        return response

    @classmethod
    def from_basic(cls, basic: bytes) -> OcspResponse:
        """From a bare BasicOCSPResponse, as CMS carries it (RFC 5940). :raises MalformedDer: as :meth:`parse`"""
        check_der(basic, what=cls._what, what_zh=cls._what_zh, max_bytes=MAX_RESPONSE)
        return cls.parse(_wrap(basic))

    @lazy
    def _asn1(self) -> aocsp.OCSPResponse:
        return aocsp.OCSPResponse.load(self.der, strict=True)

    @lazy
    def status(self) -> str:
        """``successful``, or an error: ``malformed_request``, ``internal_error``, ``try_later``, ``sign_required``,
        ``unauthorized``.
        """
        return str(self._asn1["response_status"].native)

    @lazy
    def basic(self) -> bytes:
        """Original DER of the BasicOCSPResponse. :raises MalformedDer: an error response has none"""
        part = self._asn1["response_bytes"]
        if isinstance(part, core.Void) or part["response_type"].native != "basic_ocsp_response":
            raise ValueError("no basic response in it")
        data = bytes(part["response"].contents)
        check_der(data, what=self._what, what_zh=self._what_zh, max_bytes=MAX_RESPONSE)
        return data

    @lazy
    def _slices(self) -> dict[str, bytes]:
        data = self.basic
        _, start, end = header(data, 0, len(data))
        outer = list(children(data, start, end))
        if [o[0] for o in outer[:3]] != [0x30, 0x30, 0x03] or len(outer) > 4:
            raise ValueError("not the outline of a BasicOCSPResponse")
        bits = data[outer[2][2] : outer[2][3]]
        if bits[:1] != b"\0":
            raise ValueError("signature value with unused bits")
        return {
            "tbs": data[outer[0][1] : outer[0][3]],
            "algorithm": data[outer[1][1] : outer[1][3]],
            "signature": bits[1:],
            "certificates": data[outer[3][2] : outer[3][3]] if len(outer) == 4 else b"",
        }

    @lazy
    def _data(self) -> aocsp.ResponseData:
        return aocsp.ResponseData.load(self._slices["tbs"], strict=True)

    @lazy
    def produced_at(self) -> datetime:
        value: datetime = self._data["produced_at"].native
        return value.astimezone(UTC)

    @lazy
    def answers(self) -> tuple[Answer, ...]:
        for extension in self._data["response_extensions"] or []:
            if extension["critical"].native:
                raise ValueError(f"critical extension {extension['extn_id'].dotted} is not understood")
        return tuple(Answer.from_asn1(r) for r in self._data["responses"])

    @lazy
    def nonce(self) -> bytes | None:
        return _nonce(self._data["response_extensions"])

    @lazy
    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates that came along, in order."""
        data = self._slices["certificates"]
        if not data:
            return ()
        tag, start, end = header(data, 0, len(data))
        if tag != 0x30:
            raise ValueError("certs is no SEQUENCE")
        return tuple(Certificate.parse(data[a:b]) for _, a, _, b in children(data, start, end))

    @lazy
    def _responder(self) -> tuple[str, bytes]:
        """("by_name", DER of the name) or ("by_key", SHA-1 of the key)."""
        value = self._data["responder_id"]
        return value.name, value.chosen.dump() if value.name == "by_name" else value.chosen.native

    @lazy
    def signature_scheme(self) -> Scheme | None:
        return scheme_of(algos.SignedDigestAlgorithm.load(self._slices["algorithm"]))

    def is_signed_by(self, key: PublicKey) -> bool:
        scheme = self.signature_scheme
        return scheme is not None and key.verify(self._slices["tbs"], self._slices["signature"], scheme)

    def answer_for(self, certificate: Certificate, issuer: Certificate) -> Answer | None:
        """The answer about this certificate of this issuer, if the response holds one."""
        return next((a for a in self.answers if a.cert_id.is_for(certificate, issuer)), None)

    def _is_responder(self, certificate: Certificate) -> bool:
        kind, value = self._responder
        return certificate.subject_der == value if kind == "by_name" else issuer_hashes(certificate, "sha1")[1] == value

    def signer(self, issuer: Certificate, extra: Sequence[Certificate] = ()) -> Certificate | None:
        """The certificate that signed, if it may answer for ``issuer`` (RFC 6960 §4.2.2.2): the issuer itself, or one that this
        very issuer signed with id-kp-OCSPSigning, out of the response or ``extra``. None otherwise.

        The caller checks the delegate's validity period (at ``produced_at``) and, without ocsp-nocheck, its revocation.
        """
        for candidate in self._candidates(issuer, extra):
            if self._is_responder(candidate) and self.is_signed_by(candidate.public_key):
                return candidate
        return None

    def _candidates(self, issuer: Certificate, extra: Sequence[Certificate]) -> Iterator[Certificate]:
        yield issuer
        for candidate in [*self.certificates, *extra]:
            if (
                candidate.issuer_der == issuer.subject_der
                and EKU_OCSP_SIGNING in candidate.extended_key_usage
                and candidate.allows("digitalSignature", "nonRepudiation")
                and not candidate.unknown_critical
                and candidate.is_signed_by(issuer.public_key)
            ):
                yield candidate


def build_response(
    answers: Sequence[Answer],
    signer: Signer,
    responder: Certificate,
    *,
    produced_at: datetime,
    nonce: bytes | None = None,
    scheme: Scheme | None = None,
    include_certificate: bool = True,
) -> bytes:
    """DER of a successful OCSPResponse, signed by ``responder``'s key, identified by its key hash. One signature."""
    scheme = scheme or default_scheme(signer.public_key.suite)
    data: dict[str, Any] = {
        "responder_id": aocsp.ResponderId(name="by_key", value=core.OctetString(issuer_hashes(responder, "sha1")[1])),
        "produced_at": _whole(produced_at),
        "responses": [a.to_asn1() for a in answers],
    }
    if nonce is not None:
        octets = core.ParsableOctetString(core.OctetString(nonce).dump())
        data["response_extensions"] = [{"extn_id": "nonce", "critical": False, "extn_value": octets}]
    tbs = aocsp.ResponseData(data).dump()
    parts = [tbs, signature_algorithm(scheme).dump(), core.OctetBitString(signer.sign(tbs, scheme)).dump()]
    if include_certificate:
        parts.append(aocsp.Certificates([ax.Certificate.load(responder.der)], explicit=0).dump())
    return _wrap(sequence(*parts))


def _wrap(basic: bytes) -> bytes:
    """A successful OCSPResponse around the original bytes of a BasicOCSPResponse."""
    body = aocsp.ResponseBytes({"response_type": "basic_ocsp_response", "response": core.ParsableOctetString(basic)})
    return bytes(aocsp.OCSPResponse({"response_status": "successful", "response_bytes": body}).dump())


def error_response(status: str) -> bytes:
    """DER of an unsigned error; the names are those of :attr:`OcspResponse.status`."""
    return bytes(aocsp.OCSPResponse({"response_status": status}).dump())
