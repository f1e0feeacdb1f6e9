"""PKCS#11 without a safety net, for tests that ask a module for what it must refuse.

Module and SoftHSM2 are loaded from copies of their own, so that their state is apart from any other token in this process.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path
from typing import Any

UL = ctypes.c_ulong
UNAVAILABLE = 2**64 - 1

CKR = {
    "OK": 0x0, "ARGUMENTS_BAD": 0x7, "ATTRIBUTE_READ_ONLY": 0x10, "ATTRIBUTE_SENSITIVE": 0x11, "ATTRIBUTE_TYPE_INVALID": 0x12,
    "ATTRIBUTE_VALUE_INVALID": 0x13, "ACTION_PROHIBITED": 0x1B, "DATA_LEN_RANGE": 0x21, "KEY_HANDLE_INVALID": 0x60,
    "KEY_TYPE_INCONSISTENT": 0x63, "KEY_INDIGESTIBLE": 0x67, "KEY_FUNCTION_NOT_PERMITTED": 0x68, "KEY_UNEXTRACTABLE": 0x6A,
    "MECHANISM_INVALID": 0x70, "MECHANISM_PARAM_INVALID": 0x71, "OBJECT_HANDLE_INVALID": 0x82, "OPERATION_ACTIVE": 0x90,
    "OPERATION_NOT_INITIALIZED": 0x91, "SESSION_HANDLE_INVALID": 0xB3, "SESSION_READ_ONLY": 0xB5, "SIGNATURE_INVALID": 0xC0,
    "SIGNATURE_LEN_RANGE": 0xC1, "TEMPLATE_INCONSISTENT": 0xD1, "UNWRAPPING_KEY_TYPE_INCONSISTENT": 0xF2,
    "USER_NOT_LOGGED_IN": 0x101, "WRAPPING_KEY_TYPE_INCONSISTENT": 0x115, "DOMAIN_PARAMS_INVALID": 0x130,
    "BUFFER_TOO_SMALL": 0x150, "CRYPTOKI_NOT_INITIALIZED": 0x190, "CRYPTOKI_ALREADY_INITIALIZED": 0x191,
}  # fmt: skip
_NAMES = {value: name for name, value in CKR.items()}

CKA = {
    "CLASS": 0x0, "TOKEN": 0x1, "PRIVATE": 0x2, "LABEL": 0x3, "VALUE": 0x11, "KEY_TYPE": 0x100, "ID": 0x102, "SENSITIVE": 0x103,
    "ENCRYPT": 0x104, "DECRYPT": 0x105, "WRAP": 0x106, "UNWRAP": 0x107, "SIGN": 0x108, "VERIFY": 0x10A, "DERIVE": 0x10C,
    "MODULUS_BITS": 0x121, "VALUE_LEN": 0x161, "EXTRACTABLE": 0x162, "LOCAL": 0x163, "NEVER_EXTRACTABLE": 0x164,
    "ALWAYS_SENSITIVE": 0x165, "KEY_GEN_MECHANISM": 0x166, "COPYABLE": 0x171, "EC_PARAMS": 0x180, "EC_POINT": 0x181,
    "CHECK_VALUE": 0x90,
}  # fmt: skip
SM2_OID = bytes.fromhex("06082a811ccf5501822d")
P256_OID = bytes.fromhex("06082a8648ce3d030107")
SM2_KEY_TYPE, SM2_GENERATE = 0x80000004, 0x80008001
E_DER, E_RAW, HASH_RAW, HASH_DER, Z_RAW, Z_DER = 0x80008104, 0x80008105, 0x80008100, 0x80008101, 0x80008102, 0x80008103
PUBLIC, PRIVATE, SECRET, DATA = 2, 3, 4, 0


class Attribute(ctypes.Structure):
    _fields_ = (("type", UL), ("value", ctypes.c_void_p), ("length", UL))


class Mechanism(ctypes.Structure):
    _fields_ = (("type", UL), ("parameter", ctypes.c_void_p), ("length", UL))


class Refused(Exception):
    """A CKR other than OK, by name."""

    def __init__(self, value: int) -> None:
        super().__init__(_NAMES.get(value, hex(value)))
        self.name = _NAMES.get(value, hex(value))


def mechanism(kind: int, parameter: bytes = b"") -> Any:
    made = Mechanism(kind, None, len(parameter))
    if parameter:
        made.kept = ctypes.create_string_buffer(parameter, len(parameter))
        made.parameter = ctypes.cast(made.kept, ctypes.c_void_p)
    return ctypes.byref(made)


def template(**values: Any) -> tuple[Any, UL]:
    items = []
    for name, value in values.items():
        if isinstance(value, bool):
            value = bytes([value])
        elif isinstance(value, int):
            value = value.to_bytes(ctypes.sizeof(UL), "little")
        elif isinstance(value, str):
            value = value.encode()
        buffer = ctypes.create_string_buffer(value, len(value))
        item = Attribute(CKA[name], ctypes.cast(buffer, ctypes.c_void_p), len(value))
        item.kept = buffer
        items.append(item)
    array = (Attribute * len(items))(*items)
    array.kept = items
    return array, UL(len(items))


class Module:
    """One library, initialised with a store of its own; one token, initialised with the PIN ``1234``."""

    def __init__(self, library: Path, folder: Path, *, vendor: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        own = shutil.copy(library, folder / library.name)
        softhsm = shutil.copy("/usr/lib/softhsm/libsofthsm2.so", folder / "libsofthsm2.so")
        (folder / "store").mkdir(exist_ok=True)
        (folder / "conf").write_text(f"directories.tokendir = {folder}/store\nobjectstore.backend = file\nlog.level = ERROR\n")
        self._environment = {
            "SOFTHSM2_CONF": str(folder / "conf"),
            "XINYIN_DEVTOKEN_SOFTHSM": str(softhsm),
            "XINYIN_DEVTOKEN_VENDOR": vendor,
        }
        self._library = ctypes.CDLL(str(own))
        self.slot = UL(0)
        self.initialize()
        self.slot = self._make_token()

    def initialize(self) -> None:
        before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)
        try:
            self.call("C_Initialize", None)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        self.slot = next((slot for slot in self.slots() if self.label(slot) == "raw"), UL(0))  # SoftHSM2 renumbers its slots

    def slots(self) -> list[UL]:
        count = UL()
        self.call("C_GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(count))
        slots = (UL * count.value)()
        self.call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
        return [UL(slot) for slot in slots]

    def label(self, slot: UL) -> str:
        info = ctypes.create_string_buffer(512)
        self.call("C_GetTokenInfo", slot, info)
        return info.raw[:32].decode(errors="replace").rstrip()

    def raw(self, name: str, *arguments: Any) -> int:
        function = getattr(self._library, name)
        function.restype = UL
        return int(function(*arguments))

    def call(self, name: str, *arguments: Any) -> None:
        value = self.raw(name, *arguments)
        if value:
            raise Refused(value)

    def _make_token(self) -> UL:
        slot = self.slots()[0]
        self.call("C_InitToken", slot, b"so-1234", UL(7), b"raw".ljust(32))
        session = self.open(slot=slot)
        self.call("C_Login", session, UL(0), b"so-1234", UL(7))
        self.call("C_InitPIN", session, b"1234", UL(4))
        self.call("C_CloseSession", session)
        return slot

    def open(self, *, slot: UL | None = None, rw: bool = True) -> UL:
        session = UL()
        self.call(
            "C_OpenSession", self.slot if slot is None else slot, UL(4 | (2 if rw else 0)), None, None, ctypes.byref(session)
        )
        return session

    def login(self, session: UL) -> UL:
        self.call("C_Login", session, UL(1), b"1234", UL(4))
        return session

    def sm2_pair(self, session: UL, key_id: bytes = b"k1", *, token: bool = True, label: str = "sm2") -> tuple[UL, UL]:
        public, private = UL(), UL()
        self.call(
            "C_GenerateKeyPair",
            session,
            mechanism(SM2_GENERATE),
            *template(TOKEN=token, ID=key_id, LABEL=label, KEY_TYPE=SM2_KEY_TYPE, VERIFY=True),
            *template(TOKEN=token, ID=key_id, LABEL=label, KEY_TYPE=SM2_KEY_TYPE, PRIVATE=True, SENSITIVE=True, SIGN=True),
            ctypes.byref(public),
            ctypes.byref(private),
        )
        return public, private

    def aes(self, session: UL, **more: Any) -> UL:
        key = UL()
        values = {"VALUE_LEN": 32, "WRAP": True, "UNWRAP": True, "ENCRYPT": True, "DECRYPT": True, "TOKEN": False, **more}
        self.call("C_GenerateKey", session, mechanism(0x1080), *template(**values), ctypes.byref(key))
        return key

    def find(self, session: UL, **wanted: Any) -> list[int]:
        self.call("C_FindObjectsInit", session, *template(**wanted))
        found: list[int] = []
        batch, count = (UL * 3)(), UL()
        while True:
            self.call("C_FindObjects", session, batch, UL(3), ctypes.byref(count))
            if not count.value:
                break
            found += list(batch[: count.value])
        self.call("C_FindObjectsFinal", session)
        return found

    def get(self, session: UL, handle: Any, name: str, room: int = 4096) -> bytes:
        buffer = ctypes.create_string_buffer(room)
        attribute = Attribute(CKA[name], ctypes.cast(buffer, ctypes.c_void_p), room)
        self.call("C_GetAttributeValue", session, UL(getattr(handle, "value", handle)), ctypes.byref(attribute), UL(1))
        return buffer.raw[: attribute.length]

    def sign_init(self, session: UL, kind: int, key: UL, parameter: bytes = b"") -> None:
        self.call("C_SignInit", session, mechanism(kind, parameter), key)

    def sign(self, session: UL, data: bytes, room: int = 512) -> bytes:
        buffer, length = ctypes.create_string_buffer(room), UL(room)
        self.call("C_Sign", session, data, UL(len(data)), buffer, ctypes.byref(length))
        return buffer.raw[: length.value]
