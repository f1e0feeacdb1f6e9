"""Making the tokens of a home: SoftHSM2's store for a development node, PINs drawn at random into its secrets.

SoftHSM2 reads the place of its store from the environment when the library is initialised, so the work is done in a child
process; PINs go there through their files, never through arguments. An HSM's own tokens are initialised with the vendor's tool.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
import sys
from pathlib import Path

from hsm.config import HsmConfig, load_config
from hsm.errors import TokenFailed, TokenMissing

_CONF = """directories.tokendir = {store}
objectstore.backend = file
log.level = ERROR
slots.removable = false
"""
_RW_SERIAL = 0x2 | 0x4
_SO, _USER = 0, 1


def init_tokens(home: Path) -> list[str]:
    """Make the home's tokens where they are missing; the labels of all of them. Safe to repeat.

    :raises TokenFailed: the library refuses
    :raises TokenMissing: the home uses a vendor's HSM, and its token is for the vendor's tool to initialise
    """
    config = load_config(home)
    labels = list(dict.fromkeys((config.main_token, config.root_token)))
    if not config.is_softhsm_based:
        raise TokenMissing(
            f"Tokens of the profile {config.profile.name} are initialised with the vendor's tool; label them "
            f"{' and '.join(labels)} "
            f"and put their PINs into {config.secrets}.",
            f"{config.profile.name} 的令牌须用厂商工具初始化；请将标签设为 {'、'.join(labels)}，"
            f"并把 PIN 放入 {config.secrets}。",
        )
    _prepare(config, labels)
    environment = {
        **os.environ,
        "SOFTHSM2_CONF": str(config.softhsm_conf),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "hsm.tokens", str(config.home)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise TokenFailed(
            f"The tokens of {config.home} could not be made ({words[-1] if words else 'no reason given'}); run xinyin doctor.",
            f"无法在 {config.home} 建立令牌；请执行 xinyin doctor。",
        )
    return labels


def _prepare(config: HsmConfig, labels: list[str]) -> None:
    store = config.home / "tokens" / "store"
    for folder in (config.home / "tokens", store, config.secrets, config.home / "run"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not config.softhsm_conf.exists():
        config.softhsm_conf.write_text(_CONF.format(store=store), encoding="utf-8")
    for label in labels:
        for path in (config.pin_file(label), config.so_pin_file(label)):
            _draw_pin(path)


def _draw_pin(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(16) + "\n")
        file.flush()
        os.fsync(file.fileno())


# -- the child process --------------------------------------------------------------------------------------------------------


class _Library:
    """The few functions of PKCS#11 that make a token, straight from the library."""

    def __init__(self, path: Path) -> None:
        self._lib = ctypes.CDLL(str(path))
        self.call("C_Initialize", None)

    def call(self, name: str, *arguments: object) -> None:
        function = getattr(self._lib, name)
        function.restype = ctypes.c_ulong
        result = int(function(*arguments))
        if result:
            raise OSError(f"{name} answered 0x{result:x}")

    def tokens(self) -> dict[str, int]:
        """Slots by label; the first uninitialised one under the empty label."""
        count = ctypes.c_ulong()
        self.call("C_GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(count))
        slots = (ctypes.c_ulong * count.value)()
        self.call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
        found: dict[str, int] = {}
        for slot in slots:
            info = ctypes.create_string_buffer(512)
            self.call("C_GetTokenInfo", ctypes.c_ulong(slot), info)
            label = info.raw[:32].decode(errors="replace").rstrip()
            initialised = int.from_bytes(info.raw[96 : 96 + ctypes.sizeof(ctypes.c_ulong)], sys.byteorder) & 0x400
            found.setdefault(label if initialised else "", int(slot))
        return found

    def make(self, slot: int, label: str, so_pin: bytes, pin: bytes) -> None:
        self.call("C_InitToken", ctypes.c_ulong(slot), so_pin, ctypes.c_ulong(len(so_pin)), label.encode().ljust(32))
        self.set_pin(self.tokens()[label], so_pin, pin)

    def set_pin(self, slot: int, so_pin: bytes, pin: bytes) -> None:
        session = ctypes.c_ulong()
        self.call("C_OpenSession", ctypes.c_ulong(slot), ctypes.c_ulong(_RW_SERIAL), None, None, ctypes.byref(session))
        self.call("C_Login", session, ctypes.c_ulong(_SO), so_pin, ctypes.c_ulong(len(so_pin)))
        self.call("C_InitPIN", session, pin, ctypes.c_ulong(len(pin)))
        self.call("C_Logout", session)
        self.call("C_CloseSession", session)

    def has_pin(self, slot: int) -> bool:
        info = ctypes.create_string_buffer(512)
        self.call("C_GetTokenInfo", ctypes.c_ulong(slot), info)
        return bool(int.from_bytes(info.raw[96 : 96 + ctypes.sizeof(ctypes.c_ulong)], sys.byteorder) & 0x8)


def _child(home: Path) -> None:
    config = load_config(home)
    library = _Library(config.library)
    for label in dict.fromkeys((config.main_token, config.root_token)):
        so_pin, pin = (
            path.read_text(encoding="ascii").strip().encode() for path in (config.so_pin_file(label), config.pin_file(label))
        )
        there = library.tokens()
        if label not in there:
            library.make(there[""], label, so_pin, pin)
        elif not library.has_pin(there[label]):  # a crash between the two steps
            library.set_pin(there[label], so_pin, pin)


if __name__ == "__main__":
    try:
        _child(Path(sys.argv[1]))
    except (OSError, KeyError) as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(1)
