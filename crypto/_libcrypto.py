"""SM2 primitives of the system's libcrypto 3.x, bound with cffi in ABI mode (no compile step; calls release the GIL).

Only what :mod:`crypto.sm2` needs, over raw numbers: a public key is X‖Y (64 bytes), a private key d (32 bytes), a signature
DER, a digest e (32 bytes). Digests are handed over as e on purpose: OpenSSL 3.0 takes an empty user ID when none is set, so Z_A
is computed in one place, ours. Every handle is freed by its owner; each call has an EVP_PKEY_CTX of its own, so one key may
be used by many threads.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
import threading
from typing import Any

import cffi

_CDEF = """
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX; typedef struct evp_pkey_st EVP_PKEY; typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
typedef struct bignum_st BIGNUM; typedef struct ec_group_st EC_GROUP; typedef struct ec_point_st EC_POINT;
typedef struct bn_ctx_st BN_CTX; typedef struct ossl_param_st OSSL_PARAM; typedef struct ossl_param_bld_st OSSL_PARAM_BLD;
unsigned long OpenSSL_version_num(void);
const char *OpenSSL_version(int);
void ERR_clear_error(void);
BIGNUM *BN_bin2bn(const unsigned char *, int, BIGNUM *);
int BN_bn2binpad(const BIGNUM *, unsigned char *, int);
void BN_clear_free(BIGNUM *);
void BN_set_flags(BIGNUM *, int);
EC_GROUP *EC_GROUP_new_by_curve_name(int);
void EC_GROUP_free(EC_GROUP *);
EC_POINT *EC_POINT_new(const EC_GROUP *);
void EC_POINT_clear_free(EC_POINT *);
int EC_POINT_mul(const EC_GROUP *, EC_POINT *, const BIGNUM *, const EC_POINT *, const BIGNUM *, BN_CTX *);
size_t EC_POINT_point2oct(const EC_GROUP *, const EC_POINT *, int, unsigned char *, size_t, BN_CTX *);
OSSL_PARAM_BLD *OSSL_PARAM_BLD_new(void);
void OSSL_PARAM_BLD_free(OSSL_PARAM_BLD *);
int OSSL_PARAM_BLD_push_utf8_string(OSSL_PARAM_BLD *, const char *, const char *, size_t);
int OSSL_PARAM_BLD_push_octet_string(OSSL_PARAM_BLD *, const char *, const void *, size_t);
int OSSL_PARAM_BLD_push_BN(OSSL_PARAM_BLD *, const char *, const BIGNUM *);
OSSL_PARAM *OSSL_PARAM_BLD_to_param(OSSL_PARAM_BLD *);
void OSSL_PARAM_free(OSSL_PARAM *);
EVP_PKEY_CTX *EVP_PKEY_CTX_new_from_name(OSSL_LIB_CTX *, const char *, const char *);
EVP_PKEY_CTX *EVP_PKEY_CTX_new_from_pkey(OSSL_LIB_CTX *, EVP_PKEY *, const char *);
void EVP_PKEY_CTX_free(EVP_PKEY_CTX *);
int EVP_PKEY_fromdata_init(EVP_PKEY_CTX *);
int EVP_PKEY_fromdata(EVP_PKEY_CTX *, EVP_PKEY **, int, OSSL_PARAM *);
int EVP_PKEY_keygen_init(EVP_PKEY_CTX *);
int EVP_PKEY_generate(EVP_PKEY_CTX *, EVP_PKEY **);
int EVP_PKEY_get_bn_param(const EVP_PKEY *, const char *, BIGNUM **);
int EVP_PKEY_sign_init(EVP_PKEY_CTX *);
int EVP_PKEY_sign(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
int EVP_PKEY_verify_init(EVP_PKEY_CTX *);
int EVP_PKEY_verify(EVP_PKEY_CTX *, const unsigned char *, size_t, const unsigned char *, size_t);
void EVP_PKEY_free(EVP_PKEY *);
"""
_NID_SM2 = 1172
_PUBLIC_KEY, _KEYPAIR = 0x86, 0x87  # EVP_PKEY_PUBLIC_KEY, EVP_PKEY_KEYPAIR of <openssl/evp.h>
_UNCOMPRESSED = 4
_BN_FLG_CONSTTIME = 4
_MAX_SIGNATURE = 80  # SEQUENCE of two 33-byte INTEGERs is 72


class LibcryptoFailure(Exception):
    """libcrypto refused an operation; :mod:`crypto.sm2` turns it into one of the named errors."""


def _names() -> list[str]:
    chosen = os.environ.get("XINYIN_LIBCRYPTO")
    if chosen:
        return [chosen]
    platform = {"win32": ["libcrypto-3-x64.dll", "libcrypto-3.dll"], "darwin": ["libcrypto.3.dylib"]}
    found = ctypes.util.find_library("crypto")
    return [*platform.get(sys.platform, ["libcrypto.so.3"]), *([found] if found else [])]


class Libcrypto:
    """A loaded libcrypto that can do SM2."""

    def __init__(self, ffi: cffi.FFI, lib: Any) -> None:
        self.ffi = ffi
        self.lib = lib

    @property
    def version(self) -> str:
        """For example ``OpenSSL 3.0.19 27 Jan 2026``."""
        text = self.ffi.string(self.lib.OpenSSL_version(0))
        return text.decode() if isinstance(text, bytes) else str(text)

    def _from_numbers(self, xy: bytes, d: bytes | None) -> Any:
        """An EVP_PKEY from X‖Y and, for a private key, d. OpenSSL checks the point."""
        ffi, lib = self.ffi, self.lib
        null = ffi.NULL
        secret = lib.BN_bin2bn(d, len(d), null) if d is not None else null
        builder, context, params = lib.OSSL_PARAM_BLD_new(), lib.EVP_PKEY_CTX_new_from_name(null, b"SM2", null), null
        point = b"\x04" + xy
        out = ffi.new("EVP_PKEY **")
        try:
            if d is not None:
                lib.BN_set_flags(secret, _BN_FLG_CONSTTIME)
            done = (
                context != null
                and lib.OSSL_PARAM_BLD_push_utf8_string(builder, b"group", b"SM2", 0) == 1
                and lib.OSSL_PARAM_BLD_push_octet_string(builder, b"pub", point, len(point)) == 1
                and (d is None or lib.OSSL_PARAM_BLD_push_BN(builder, b"priv", secret) == 1)
            )
            if done:
                params = lib.OSSL_PARAM_BLD_to_param(builder)
                done = (
                    params != null
                    and lib.EVP_PKEY_fromdata_init(context) == 1
                    and lib.EVP_PKEY_fromdata(context, out, _PUBLIC_KEY if d is None else _KEYPAIR, params) == 1
                )
        finally:
            lib.OSSL_PARAM_free(params)
            lib.OSSL_PARAM_BLD_free(builder)
            lib.EVP_PKEY_CTX_free(context)
            if d is not None:
                lib.BN_clear_free(secret)
        if not done:
            lib.ERR_clear_error()
            raise LibcryptoFailure("key refused")
        return ffi.gc(out[0], lib.EVP_PKEY_free)

    def public(self, xy: bytes) -> Any:
        """Handle of the public key X‖Y."""
        return self._from_numbers(xy, None)

    def private(self, d: bytes, xy: bytes) -> Any:
        """Handle of the private key d with public key X‖Y."""
        return self._from_numbers(xy, d)

    def generate(self) -> Any:
        """Handle of a fresh key pair."""
        ffi, lib = self.ffi, self.lib
        out = ffi.new("EVP_PKEY **")
        context = lib.EVP_PKEY_CTX_new_from_name(ffi.NULL, b"SM2", ffi.NULL)
        try:
            done = context != ffi.NULL and lib.EVP_PKEY_keygen_init(context) == 1 and lib.EVP_PKEY_generate(context, out) == 1
        finally:
            lib.EVP_PKEY_CTX_free(context)
        if not done:
            lib.ERR_clear_error()
            raise LibcryptoFailure("no key made")
        return ffi.gc(out[0], lib.EVP_PKEY_free)

    def number(self, handle: Any, name: str) -> bytes:
        """One number of a key, 32 bytes: ``priv``, ``qx`` or ``qy``."""
        ffi, lib = self.ffi, self.lib
        out = ffi.new("BIGNUM **")
        if lib.EVP_PKEY_get_bn_param(handle, name.encode(), out) != 1:
            lib.ERR_clear_error()
            raise LibcryptoFailure(f"no {name}")
        buffer = ffi.new("unsigned char[32]")
        lib.BN_bn2binpad(out[0], buffer, 32)
        lib.BN_clear_free(out[0])
        return bytes(ffi.buffer(buffer))

    def multiply_base(self, d: bytes) -> bytes:
        """X‖Y of d·G."""
        ffi, lib = self.ffi, self.lib
        null = ffi.NULL
        group = lib.EC_GROUP_new_by_curve_name(_NID_SM2)
        point, scalar = lib.EC_POINT_new(group), lib.BN_bin2bn(d, len(d), null)
        buffer = ffi.new("unsigned char[65]")
        try:
            lib.BN_set_flags(scalar, _BN_FLG_CONSTTIME)
            done = (
                lib.EC_POINT_mul(group, point, scalar, null, null, null) == 1
                and lib.EC_POINT_point2oct(group, point, _UNCOMPRESSED, buffer, 65, null) == 65
            )
        finally:
            lib.BN_clear_free(scalar)
            lib.EC_POINT_clear_free(point)
            lib.EC_GROUP_free(group)
        if not done:
            lib.ERR_clear_error()
            raise LibcryptoFailure("no point")
        return bytes(ffi.buffer(buffer))[1:]

    def sign_e(self, handle: Any, e: bytes) -> bytes:
        """DER signature over e (32 bytes)."""
        ffi, lib = self.ffi, self.lib
        context = lib.EVP_PKEY_CTX_new_from_pkey(ffi.NULL, handle, ffi.NULL)
        buffer, length = ffi.new(f"unsigned char[{_MAX_SIGNATURE}]"), ffi.new("size_t *", _MAX_SIGNATURE)
        try:
            done = (
                context != ffi.NULL
                and lib.EVP_PKEY_sign_init(context) == 1
                and lib.EVP_PKEY_sign(context, buffer, length, e, len(e)) == 1
            )
        finally:
            lib.EVP_PKEY_CTX_free(context)
        if not done:
            lib.ERR_clear_error()
            raise LibcryptoFailure("no signature made")
        return bytes(ffi.buffer(buffer, length[0]))

    def verify_e(self, handle: Any, e: bytes, signature: bytes) -> bool:
        """Whether the DER signature over e (32 bytes) is the key's."""
        ffi, lib = self.ffi, self.lib
        context = lib.EVP_PKEY_CTX_new_from_pkey(ffi.NULL, handle, ffi.NULL)
        try:
            if context == ffi.NULL or lib.EVP_PKEY_verify_init(context) != 1:
                lib.ERR_clear_error()
                raise LibcryptoFailure("verification could not start")
            valid: bool = lib.EVP_PKEY_verify(context, signature, len(signature), e, len(e)) == 1
        finally:
            lib.EVP_PKEY_CTX_free(context)
        if not valid:
            # The queue of errors is per thread and bounded, but a stale entry would be blamed on the next caller.
            lib.ERR_clear_error()
        return valid


_found: list[Libcrypto | None] = []
_searching = threading.Lock()


def load() -> Libcrypto | None:
    """The system's libcrypto 3.x with SM2, or None (Windows without it, LibreSSL, builds with no-sm2).

    ``XINYIN_LIBCRYPTO`` names another library file.
    """
    if not _found:
        with _searching:  # two at once would each get an ffi of their own, whose keys do not fit the other's functions
            if not _found:
                _found.append(_search())
    return _found[0]


def _search() -> Libcrypto | None:
    ffi = cffi.FFI()
    ffi.cdef(_CDEF)
    for name in _names():
        try:
            lib: Any = ffi.dlopen(name)
            if lib.OpenSSL_version_num() < 0x30000000:
                continue
            context = lib.EVP_PKEY_CTX_new_from_name(ffi.NULL, b"SM2", ffi.NULL)
        except (OSError, AttributeError):
            continue
        if context == ffi.NULL:
            lib.ERR_clear_error()
            continue
        lib.EVP_PKEY_CTX_free(context)
        return Libcrypto(ffi, lib)
    return None
