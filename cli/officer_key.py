"""An officer's own key at the command line: a PKCS#12 file, a PKCS#8 key with its certificate, or a token of the officer's own.

Nothing of it is kept. The node's tokens are another matter: only its signer opens those.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.state import STATE
from cli.verify import read_file
from crypto.errors import BadInput, NotFound, Usage, XinyinError
from crypto.keys import PublicKey, Signer, SoftwareKey, digest
from crypto.suites import DigestAlgorithm, Scheme, Suite, default_scheme
from formats import cms
from formats.x509 import Certificate

_LIMIT = 1 << 20


class OfficerSigner:
    """A key with its certificate, for as long as a command runs."""

    def __init__(self, signer: Signer, certificate: Certificate) -> None:
        if certificate.public_key.spki != signer.public_key.spki:
            raise BadInput("Key and certificate do not belong together.", "密钥与证书不配对。")
        self.signer = signer
        self.certificate = certificate

    def cms(self, message: bytes) -> bytes:
        """Detached CMS SignedData over ``message`` (RFC 5652), with the time."""
        scheme = default_scheme(self.signer.public_key.suite)
        attributes = cms.signed_attributes(
            content_digest=digest(scheme.digest, message),
            digest=scheme.digest,
            signing_certificate=self.certificate,
            signing_time=datetime.now(UTC),
        )
        signature = self.signer.sign(attributes, scheme)
        return cms.signed_data(signed_attrs=attributes, signature=signature, scheme=scheme, certificates=[self.certificate])


@dataclass(frozen=True)
class Ways:
    """How a command may be given a key. ``secret_file`` holds the file's password or the token's PIN; it is asked for on the
    terminal otherwise, and never an argument.
    """

    pkcs12: Path | None = None
    key: Path | None = None
    certificate: Path | None = None
    pkcs11: Path | None = None
    token: str | None = None
    label: str | None = None
    secret_file: Path | None = None


@contextmanager
def officer_signer(ways: Ways) -> Iterator[OfficerSigner]:
    """The key that the options name.

    :raises Usage: not exactly one way is named
    """
    pkcs12, key, pkcs11, secret = ways.pkcs12, ways.key, ways.pkcs11, ways.secret_file
    if [pkcs12 is not None, key is not None, pkcs11 is not None].count(True) != 1:
        raise Usage(
            "Name one key: --pkcs12 FILE, or --key FILE with --certificate FILE, or --pkcs11 MODULE with --token LABEL.",
            "请指定一种密钥：--pkcs12 文件，或 --key 与 --certificate 文件，或 --pkcs11 模块与 --token 标签。",
        )
    if pkcs12 is not None:
        yield _from_pkcs12(read_file(pkcs12, limit=_LIMIT), _secret(secret, "密码", "Password"))
    elif key is not None:
        if ways.certificate is None:
            raise Usage("Name the key's certificate with --certificate.", "请用 --certificate 指定该密钥的证书。")
        certificate = Certificate.parse(read_file(ways.certificate, limit=_LIMIT))
        yield OfficerSigner(_from_pkcs8(read_file(key, limit=_LIMIT)), certificate)
    else:
        assert pkcs11 is not None
        with _session(pkcs11, ways.token, _secret(secret, "PIN", "PIN")) as session:
            yield _of_token(session, ways.label)


def _secret(path: Path | None, zh: str, en: str) -> str:
    if path is not None:
        return read_file(path, limit=4096).decode("utf-8", "replace").rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Usage(
            "Name the file with the password or PIN: --secret-file FILE.", "请用 --secret-file 指定存放密码或 PIN 的文件。"
        )
    return getpass.getpass(STATE.pick(f"{zh}：", f"{en}: "))


def _from_pkcs12(data: bytes, password: str) -> OfficerSigner:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

    try:
        private, certificate, _ = load_key_and_certificates(data, password.encode() or None)
        if private is None or certificate is None:
            raise ValueError("incomplete")
        key = SoftwareKey.from_pkcs8(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    except (ValueError, TypeError) as exc:
        raise BadInput(
            "The PKCS#12 file cannot be opened: is the password right, and are key and certificate in it? (SM2: use --key.)",
            "无法打开 PKCS#12 文件：请核对密码，并确认其中含密钥与证书（SM2 密钥请用 --key）。",
        ) from exc
    return OfficerSigner(key, Certificate.parse(certificate.public_bytes(Encoding.DER)))


def _from_pkcs8(data: bytes) -> SoftwareKey:
    if data.lstrip().startswith(b"-----"):
        from asn1crypto import pem

        _, _, data = pem.unarmor(data)
    return SoftwareKey.from_pkcs8(data)


@contextmanager
def _session(module: Path, token: str | None, pin: str) -> Iterator[Any]:
    from pkcs11.exceptions import PKCS11Error

    from hsm.pkcs11lib import open_library

    if token is None:
        raise Usage("Name the token with --token LABEL.", "请用 --token 指定令牌标签。")
    try:
        with open_library(module).get_token(token_label=token).open(user_pin=pin) as session:
            yield session
    except PKCS11Error as exc:
        raise BadInput(
            f"The token {token} cannot be used ({type(exc).__name__}); is it there, and is the PIN right?",
            f"无法使用令牌 {token}（{type(exc).__name__}）；请确认已插入且 PIN 正确。",
        ) from exc


def _of_token(session: Any, label: str | None) -> OfficerSigner:
    """The one certificate of the token (or that of ``label``) whose private key is there too."""
    from pkcs11 import Attribute, ObjectClass

    wanted: dict[Any, Any] = {Attribute.CLASS: ObjectClass.CERTIFICATE}
    if label is not None:
        wanted[Attribute.LABEL] = label
    found = []
    for one in list(session.get_objects(wanted)):  # a token searches for one thing at a time
        private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: one[Attribute.ID]}
        for key in list(session.get_objects(private)):
            found.append((key, Certificate.parse(bytes(one[Attribute.VALUE]))))
    if len(found) != 1:
        raise NotFound(
            f"The token holds {len(found)} certificates with a key; name one with --label.",
            f"令牌中有 {len(found)} 张带私钥的证书；请用 --label 指定其中一张。",
        )
    key, certificate = found[0]
    return OfficerSigner(_TokenKey(key, certificate.public_key), certificate)


class _TokenKey:
    """A :class:`crypto.keys.Signer` in a token of the officer's own: RSA and P-256."""

    def __init__(self, key: Any, public_key: PublicKey) -> None:
        self._key = key
        self._public_key = public_key

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes, scheme: Scheme | None = None) -> bytes:
        from pkcs11 import Mechanism
        from pkcs11.util.ec import encode_ecdsa_signature

        if self._public_key.suite is Suite.RSA:
            signature = bytes(self._key.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS))
        elif self._public_key.suite is Suite.P256:
            raw = self._key.sign(digest(DigestAlgorithm.SHA256, message), mechanism=Mechanism.ECDSA)
            signature = bytes(encode_ecdsa_signature(raw))
        else:
            raise Usage(
                "Tokens sign here with RSA or P-256; for SM2 sign the statement with the token's own program and hand in the "
                "result with --signature.",
                "此处的令牌签名支持 RSA 与 P-256；SM2 请用令牌自带程序签署该内容，再以 --signature 提交结果。",
            )
        if not self._public_key.verify(message, signature, scheme):
            raise XinyinError("The token signed wrongly; nothing was sent.", "令牌签名有误；未提交。")
        return signature
