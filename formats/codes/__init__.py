"""Codes on paper and on phones: ``https://HOST/v#`` + unpadded base64url(zlib(COSE_Sign1 of a CWT)), ES256 only.

An ordinary scanner opens HOST's verify page; what follows ``#`` never reaches a server, and our verifier reads it offline.
:mod:`formats.codes.printed` is the code on a licence or on a copy made for one purpose, :mod:`formats.codes.shown` that of a
phone, :mod:`formats.codes.wire` what both share. docs/credentials.md says every claim.
"""

from __future__ import annotations

from formats import cbor
from formats.codes import printed, shown, wire
from formats.codes.printed import MAX_PRINTED_URL as MAX_PRINTED_URL
from formats.codes.printed import Claims as Claims
from formats.codes.printed import SignedCode as SignedCode
from formats.codes.printed import encode as encode
from formats.codes.shown import MAX_CREDENTIAL as MAX_CREDENTIAL
from formats.codes.shown import MAX_SHOWN as MAX_SHOWN
from formats.codes.shown import ROLES as ROLES
from formats.codes.shown import Credential as Credential
from formats.codes.shown import ShownCode as ShownCode
from formats.codes.shown import SignedCredential as SignedCredential
from formats.codes.shown import WithoutHolder as WithoutHolder
from formats.codes.shown import encode_credential as encode_credential
from formats.codes.shown import encode_shown as encode_shown
from formats.codes.shown import read_credential as read_credential
from formats.codes.wire import MAX_CBOR as MAX_CBOR
from formats.codes.wire import MAX_URL as MAX_URL
from formats.codes.wire import BadCode as BadCode
from formats.codes.wire import key_id as key_id


def decode(url: str) -> SignedCode | ShownCode:
    """Read a code, bounded in size and depth.

    :raises WithoutHolder: a phone's credential without the phone's signature
    :raises BadCode: anything else than a code of this form
    """
    host, raw = wire.from_url(url)
    outer = wire.read_sign1(raw)
    claims = wire.strictly(lambda: cbor.read(outer.payload).keys())
    if wire.CREDENTIAL in claims:
        return shown.read(url, host, outer)
    if wire.CNF in claims:
        raise WithoutHolder(
            "This is a copy of a licence from a phone, without that phone's signature; ask the holder to show it on the phone.",
            "这是手机证照的复制件，没有该手机的签名；请持证人用本人手机重新出示。",
        )
    return printed.read(url, host, outer)
