"""Opening a PKCS#11 library so that threads may use it, and teaching python-pkcs11 the vendors' numbers."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11.exceptions import PKCS11Error

from hsm.errors import DriverMissing

CKF_OS_LOCKING_OK = 2
_POINTER = ctypes.sizeof(ctypes.c_void_p)


class _InitializeArgs(ctypes.Structure):
    _fields_ = (
        ("create", ctypes.c_void_p),
        ("destroy", ctypes.c_void_p),
        ("lock", ctypes.c_void_p),
        ("unlock", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


_Initialize = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)
_patched: dict[str, tuple[Any, Any]] = {}
_locking: dict[str, bool] = {}
_guard = threading.Lock()


def open_library(path: Path, *, fresh: bool = False) -> Any:
    """The library, initialised with ``CKF_OS_LOCKING_OK``; ``fresh`` finalises it first if it was initialised before.

    python-pkcs11 0.10 calls ``C_Initialize(NULL)``, which promises that only one thread will ever call: two threads on two
    SoftHSM2 sessions then crash the process. So the slot of C_Initialize in the library's function list is filled, before
    python-pkcs11 reads it, with a function that asks for the system's locks.

    :raises DriverMissing: no such file, not a PKCS#11 library, or it cannot initialise itself
    """
    with _guard:
        try:
            if str(path) not in _patched:
                _patched[str(path)] = _patch(path)
            known = str(path) in pkcs11._loaded and pkcs11._loaded[str(path)].initialized
            library = pkcs11.lib(str(path))
            if known and fresh:
                library.reinitialize()
            return library
        except (OSError, AttributeError, PKCS11Error) as exc:
            raise DriverMissing(
                f"The PKCS#11 library {path} cannot be used ({type(exc).__name__}); install it or correct [hsm] "
                "library in node.toml.",
                f"无法使用 PKCS#11 库 {path}；请安装该库，或更正 node.toml 中的 [hsm] library。",
                library=str(path),
            ) from exc


def has_os_locking(path: Path) -> bool:
    """Whether this process's C_Initialize of the library went through with the system's locks asked for."""
    return _locking.get(str(path), False)


def _patch(path: Path) -> tuple[Any, Any]:
    library = ctypes.CDLL(str(path))
    functions = ctypes.c_void_p()
    library.C_GetFunctionList.restype = ctypes.c_ulong
    if library.C_GetFunctionList(ctypes.byref(functions)) != 0 or not functions.value:
        raise OSError("C_GetFunctionList failed")
    address = functions.value + _POINTER  # after CK_VERSION, padded; C_Initialize is the first function
    slot = ctypes.c_void_p.from_address(address)
    original = _Initialize(slot.value or 0)

    def initialize(_args: int | None) -> int:
        args = _InitializeArgs(flags=CKF_OS_LOCKING_OK)
        result = int(original(ctypes.addressof(args)))
        _locking[str(path)] = result == 0
        return result

    replacement = _Initialize(initialize)
    _make_writable(address)
    slot.value = ctypes.cast(replacement, ctypes.c_void_p).value
    return library, replacement  # both must outlive the library's use


def _make_writable(address: int) -> None:
    """Some vendors keep the list in read-only memory."""
    for line in Path("/proc/self/maps").read_text(encoding="ascii", errors="replace").splitlines():
        span, rights = line.split()[:2]
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= address < end and "w" not in rights:
            page = address & ~0xFFF
            if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(page), 0x2000, 3) != 0:
                raise OSError("the function list cannot be made writable")


def vendor_mechanism(value: int) -> Any:
    """A member of python-pkcs11's ``Mechanism`` for a vendor's number."""
    return _pseudo_member(pkcs11.Mechanism, value)


def vendor_key_type(value: int) -> Any:
    """A member of python-pkcs11's ``KeyType`` for a vendor's number."""
    return _pseudo_member(pkcs11.KeyType, value)


def _pseudo_member(enum: Any, value: int) -> Any:
    with _guard:
        known = enum._value2member_map_.get(value)
        if known is None:
            known = int.__new__(enum, value)
            known._name_ = f"VENDOR_{value:08X}"
            known._value_ = value
            enum._value2member_map_[value] = known
            enum._member_map_[known._name_] = known
        return known
