"""Interim CMS assembly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as ax

from crypto.suites import DigestAlgorithm, Scheme
from formats.asn1 import digest_algorithm, signature_algorithm
from formats.x509 import Certificate


def signed_attributes(*, content_digest: bytes, digest: DigestAlgorithm, signing_certificate: Certificate, gm35275: bool = False) -> bytes:
    import hashlib

    attrs = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": ["1.2.156.10197.6.1.4.2.1" if gm35275 else "data"]}),
            cms.CMSAttribute({"type": "message_digest", "values": [content_digest]}),
            cms.CMSAttribute(
                {
                    "type": "signing_certificate_v2",
                    "values": [
                        tsp.SigningCertificateV2(
                            {
                                "certs": [
                                    tsp.ESSCertIDv2(
                                        {
                                            "hash_algorithm": algos.DigestAlgorithm({"algorithm": digest.value if digest.value != "sm3" else "1.2.156.10197.1.401"}),
                                            "cert_hash": hashlib.new(digest.value, signing_certificate.der).digest(),
                                        }
                                    )
                                ]
                            }
                        )
                    ],
                }
            ),
        ]
    )
    return bytes(attrs.dump(force=True))


def signed_data(
    *,
    signed_attrs: bytes,
    signature: bytes,
    scheme: Scheme,
    certificates: Sequence[Certificate],
    timestamp: bytes | None = None,
    gm35275: bool = False,
) -> bytes:
    signer = certificates[0]
    info: dict[str, Any] = {
        "version": "v1",
        "sid": cms.SignerIdentifier(
            name="issuer_and_serial_number",
            value=cms.IssuerAndSerialNumber({"issuer": signer.asn1.issuer, "serial_number": signer.serial}),
        ),
        "digest_algorithm": digest_algorithm(scheme.digest),
        "signed_attrs": cms.CMSAttributes.load(signed_attrs),
        "signature_algorithm": signature_algorithm(scheme),
        "signature": signature,
    }
    if timestamp is not None:
        info["unsigned_attrs"] = [
            cms.CMSAttribute({"type": "signature_time_stamp_token", "values": [cms.ContentInfo.load(timestamp)]})
        ]
    data = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [digest_algorithm(scheme.digest)],
            "encap_content_info": {"content_type": "data"},
            "certificates": [cms.CertificateChoices(name="certificate", value=ax.Certificate.load(c.der)) for c in certificates],
            "signer_infos": [cms.SignerInfo(info)],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": data}).dump())


_ = (core, datetime)
