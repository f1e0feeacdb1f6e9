"""A compact credential as tests show it: an issuer's key, a phone's key, and what the one says of the other."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.codes import Credential, encode_credential
from formats.statuslist import StatusRef

ISSUER, PHONE = SoftwareKey.generate(Suite.P256), SoftwareKey.generate(Suite.P256)
AT = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
CREDENTIAL = Credential(
    issuer="云江市市场监督管理局",
    subject="1.2.156.3005.2.11100000MB0143028R001.11310000MB2F30000X.0000000001.001.7",
    licence_type="营业执照",
    holder="云江市青禾信息科技有限公司",
    number="91310000MA1FL00000",
    issued=AT - timedelta(days=1),
    expires=AT + timedelta(days=29),
    token_id=bytes(range(8)),
    region="310000",
    key=PHONE.public_key,
    role="staff",
    bearer="样本 王店员",
    status=StatusRef("https://yunjiang.example/status/3f9a1c20", 54321),
    matters=("open-bank-account", "tax-registration"),
    sample=True,
)
RAW = encode_credential(CREDENTIAL, ISSUER)


def unpacked(url: str) -> bytes:
    """The CBOR in a code's address."""
    part = url.split("#")[1]
    return zlib.decompress(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
