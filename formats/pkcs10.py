"""Certification requests (PKCS#10, RFC 2986; GB/T 35291 uses the same for SM2)."""

from __future__ import annotations

from collections.abc import Sequence

from asn1crypto import algos, core, csr, keys
from asn1crypto import x509 as ax

from crypto.keys import PublicKey, Signer
from crypto.suites import Scheme, default_scheme
from formats.asn1 import check_der, children, header, lazy, malformed, pem_blocks, scheme_of
from formats.x509 import Subject, assemble, key_usage, readable_name

MAX_REQUEST = 64 * 1024


class CertificationRequest:
    """An immutable view over one PKCS#10 request; make it with :meth:`parse`."""

    _what = "certification request"
    _what_zh = "证书请求"

    def __init__(self, der: bytes) -> None:
        self.der = der

    @classmethod
    def parse(cls, data: bytes) -> CertificationRequest:
        """From DER, or PEM with one block. :raises MalformedDer: neither, damaged, or over 64 KiB"""
        if b"-----BEGIN" in data[:MAX_REQUEST]:
            blocks = pem_blocks(data, "CERTIFICATE REQUEST") or pem_blocks(data, "NEW CERTIFICATE REQUEST")
            if len(blocks) != 1:
                raise malformed(cls._what, cls._what_zh, f"{len(blocks)} requests in the PEM text, one is read")
            data = blocks[0]
        check_der(data, what=cls._what, what_zh=cls._what_zh, max_bytes=MAX_REQUEST)
        request = cls(bytes(data))
        for name in ("_slices", "subject", "signature_scheme"):
            getattr(request, name)
        return request

    @lazy
    def _slices(self) -> dict[str, bytes]:
        der = self.der
        _, start, end = header(der, 0, len(der))
        outer = list(children(der, start, end))
        if [o[0] for o in outer] != [0x30, 0x30, 0x03]:
            raise ValueError("not SEQUENCE {info, algorithm, signature}")
        fields = list(children(der, outer[0][2], outer[0][3]))
        if [f[0] for f in fields[:3]] != [0x02, 0x30, 0x30]:
            raise ValueError("not the fields of a CertificationRequestInfo")
        return {
            "info": der[outer[0][1] : outer[0][3]],
            "algorithm": der[outer[1][1] : outer[1][3]],
            "signature": der[outer[2][2] + 1 : outer[2][3]],
            "subject": der[fields[1][1] : fields[1][3]],
            "spki": der[fields[2][1] : fields[2][3]],
        }

    @property
    def subject_der(self) -> bytes:
        return self._slices["subject"]

    @lazy
    def subject(self) -> str:
        return readable_name(ax.Name.load(self.subject_der))

    @lazy
    def public_key(self) -> PublicKey:
        """:raises crypto.keys.UnsupportedKey: a key of a kind that no suite covers"""
        return PublicKey.from_spki(self._slices["spki"])

    @lazy
    def signature_scheme(self) -> Scheme | None:
        return scheme_of(algos.SignedDigestAlgorithm.load(self._slices["algorithm"]))

    @property
    def is_self_signed(self) -> bool:
        """Proof of possession: the request is signed with the key it names."""
        scheme = self.signature_scheme
        return scheme is not None and self.public_key.verify(self._slices["info"], self._slices["signature"], scheme)


def build_request(
    subject: Subject, signer: Signer, *, usages: Sequence[str] = (), es_id: str | None = None, scheme: Scheme | None = None
) -> bytes:
    """DER of a request for this key, asking for key usage and esID in its extensionRequest attribute. One signature."""
    scheme = scheme or default_scheme(signer.public_key.suite)
    wanted = []
    if usages:
        wanted.append(("key_usage", True, key_usage(usages)))
    if es_id is not None:
        wanted.append(("es_id", False, core.IA5String(es_id)))
    extensions = ax.Extensions(
        [{"extn_id": n, "critical": c, "extn_value": core.ParsableOctetString(v.dump())} for n, c, v in wanted]
    )
    attributes = [{"type": "extension_request", "values": [extensions]}] if wanted else []
    info = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": subject.name(),
            "subject_pk_info": keys.PublicKeyInfo.load(signer.public_key.spki),
            "attributes": attributes,  # [0] is not OPTIONAL in RFC 2986: an empty set stays
        }
    ).dump()
    return assemble(info, scheme, signer.sign(info, scheme))
