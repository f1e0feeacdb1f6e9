"""The tokens of one home, opened in this process. Lives in the signer; PINs are read here and nowhere else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pkcs11 import exceptions as p11

from crypto.errors import XinyinError
from crypto.keys import PublicKey, SoftwareKey
from crypto.suites import Scheme, Suite
from hsm import driver
from hsm.config import HsmConfig
from hsm.errors import KeyMissing, PinRefused, ProfileMismatch, StandInRefused
from hsm.pkcs11lib import has_os_locking, open_library
from hsm.tokenslot import TokenSlot

_STAND_INS = ("softhsm", "development", "dev-not-an-hsm", "xinyin", "swtpm", "sw   tpm", "simulator", "emulator", "test token")


MAX_LENT_S = 3600.0
"""The longest that a PIN which somebody typed is kept in memory."""


def stand_in_words(*names: str) -> str | None:
    """The word by which a token, slot or library identifies itself as no HSM; None if it does not."""
    joined = " | ".join(names).lower()
    return next((word for word in _STAND_INS if word in joined), None)


def read_pin(config: HsmConfig, token: str) -> str:
    """The PIN from its file, which only its owner may read.

    :raises PinRefused: no file, or one that others may read
    """
    path = config.pin_file(token)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise _no_pin(path, token, "others may read it; chmod it to 0600")
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise _no_pin(path, token, "it cannot be read; run xinyin init or restore it") from exc


def _no_pin(path: Path, token: str, why: str) -> PinRefused:
    return PinRefused(
        f"The PIN file {path} of the token {token} is not usable: {why}.",
        f"令牌 {token} 的 PIN 文件 {path} 不可用；请检查其权限（0600）或重新恢复。",
        token=token,
    )


def _link(name: str, ok: bool, message: str, message_zh: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "message": message, "message_zh": message_zh}


def _tried(name: str, good: str, good_zh: str, work: Callable[[], None]) -> dict[str, Any]:
    try:
        work()
    except XinyinError as exc:
        return _link(name, False, exc.message, exc.message_zh)
    return _link(name, True, good, good_zh)


class TokenHost:
    """Opens the library once; the main token stays logged in, the root CA's token only while it signs.

    :raises StandInRefused: production, and the profile or the token says that it is no HSM
    """

    def __init__(self, config: HsmConfig) -> None:
        if config.is_softhsm_based:
            os.environ["SOFTHSM2_CONF"] = str(config.softhsm_conf)  # read by C_Initialize: one home at a time in a process
        self.config = config
        # Fresh, because a library that some earlier home left initialised would still serve that home's store.
        self._library = open_library(config.library, fresh=config.is_softhsm_based)
        self._slots = {
            label: TokenSlot(self._library, label, partial(self._pin, label), config.sessions)
            for label in (config.main_token, config.root_token)
        }
        self._root_lock = threading.RLock()
        self._making = threading.Lock()
        self._lent: dict[str, tuple[str, float]] = {}
        """PINs that officers typed, and until when (monotonic) they may be used; in memory only."""
        self._software: dict[str, SoftwareKey] = {}
        if config.mode == "production":
            try:
                self._refuse_stand_ins()
            except BaseException:
                self.close()
                raise

    def _pin(self, label: str) -> str:
        pin, until = self._lent.get(label, ("", 0.0))
        if time.monotonic() < until:
            return pin
        self._lent.pop(label, None)
        return read_pin(self.config, label)

    def lend_pin(self, label: str, pin: str, seconds: float) -> None:
        """Let a token whose PIN lies in no file be used for a while; the PIN is tried at once. No seconds: forget it.

        :raises PinRefused: the token does not take it
        """
        slot = self.slot(label)
        with self._root_lock:
            slot.logout()
            self._lent.pop(label, None)
            if seconds > 0:
                self._lent[label] = (pin, time.monotonic() + min(seconds, MAX_LENT_S))
                try:
                    with self._visit(label):
                        slot.login()
                except BaseException:
                    self._lent.pop(label, None)
                    raise

    def close(self) -> None:
        """Log out everywhere and finalise the library."""
        self._lent.clear()
        for slot in self._slots.values():
            slot.logout()
        with suppress(p11.PKCS11Error):
            self._library.finalize()

    def describe(self) -> dict[str, Any]:
        """How library and main token call themselves."""
        token = self.slot(self.config.main_token).token()
        names = (self._library.library_description, self._library.manufacturer_id, token.manufacturer_id, token.model)
        return {
            "pid": os.getpid(),
            "library": self._library.library_description,
            "token": token.label,
            "manufacturer": token.manufacturer_id,
            "model": token.model,
            "profile": self.config.profile.name,
            "stand_in": self.config.profile.stand_in or stand_in_words(*names) is not None,
        }

    def slot(self, label: str) -> TokenSlot:
        """:raises KeyMissing: the database names a token that this home does not have"""
        try:
            return self._slots[label]
        except KeyError:
            raise KeyMissing(
                f"The key is in a token {label!r} that this node does not have; correct [hsm] in node.toml.",
                f"该密钥位于本节点没有的令牌 {label!r} 中；请更正 node.toml 的 [hsm]。",
                token=label,
            ) from None

    def probe(self) -> None:
        """:raises ProfileMismatch: the main token does not sign as the profile says"""
        with self.slot(self.config.main_token).writable() as session:
            driver.probe(session, self.config.profile)

    def examine(self) -> list[dict[str, Any]]:
        """What ``xinyin doctor`` asks of the tokens: ``{"name", "ok", "message", "message_zh"}`` each, from library to
        probe."""
        name = self._library.library_description
        locking = has_os_locking(self.config.library)
        words = ("The library uses the system's locks.", "库已启用系统锁。")
        if not locking:
            words = (
                "The library runs without locks and may crash under load; restart the signer.",
                "库未启用系统锁，高负载下可能崩溃；请重启签名进程。",
            )
        links = [_link("library", True, f"{name} is loaded.", f"已加载 {name}。"), _link("os-locking", locking, *words)]
        for label in self._slots:
            links.append(self._examine_token(label))
        links.append(self._examine_mechanisms())
        links.append(_tried("profile", "The token signs as the profile says.", "令牌签名与厂商配置一致。", self._probe_all))
        return links

    def _examine_token(self, label: str) -> dict[str, Any]:
        def work() -> None:
            with self._visit(label):
                self.slot(label).login()

        return _tried(f"token {label}", "The token is there and accepts its PIN.", "令牌存在，PIN 正确。", work)

    def _examine_mechanisms(self) -> dict[str, Any]:
        def work() -> None:
            there = {int(value) for value in self.slot(self.config.main_token).token().slot.get_mechanisms()}
            missing = [name for name, value in driver.mechanisms_of(self.config.profile).items() if int(value) not in there]
            if missing:
                raise ProfileMismatch(
                    f"The token lacks what the profile {self.config.profile.name} needs: {', '.join(missing)}; "
                    "choose another profile.",
                    f"令牌缺少厂商配置 {self.config.profile.name} 所需的机制：{'、'.join(missing)}；请更换厂商配置。",
                )

        return _tried("mechanisms", "The token has every mechanism of the profile.", "令牌具备厂商配置所需的全部机制。", work)

    def _probe_all(self) -> None:
        with self.slot(self.config.main_token).writable() as session:
            driver.probe(session, self.config.profile, (Suite.RSA, Suite.P256, Suite.SM2))

    def sign(self, label: str, key_id: bytes, public: PublicKey, message: bytes, scheme: Scheme) -> bytes:
        """The token's signature, verified in software.

        :raises FaultySignature: it does not verify; it is discarded
        """

        def work(lane: Any) -> bytes:
            return driver.sign(lane.private_key(key_id), public, message, scheme, self.config.profile)

        with self._visit(label):
            signature = self.slot(label).run(work)
        if not public.verify(message, signature, scheme):
            raise driver.faulty(str(public.suite))
        return signature

    def generate(self, label: str, key_id: bytes, suite: Suite, bits: int, name: str) -> dict[str, Any]:
        """Make the key pair, or find the one that was made before a crash: ``{"spki", "model"}``."""
        slot, profile = self.slot(label), self.config.profile
        with self._making, self._visit(label), slot.writable() as session:  # one at a time: two would both find none
            public = driver.find_public(session, suite, key_id)
            if public is None:
                driver.destroy(session, key_id)  # half a pair, left by a crash
                public = driver.generate(session, suite, bits=bits, key_id=key_id, label=name, profile=profile)
            return {"spki": public.spki, "model": slot.token().model}

    def destroy(self, label: str, key_id: bytes) -> int:
        """Destroy both halves; the number of objects that went."""
        slot = self.slot(label)
        with self._making, self._visit(label), slot.writable() as session:
            count = driver.destroy(session, key_id)
        slot.forget(key_id)
        return count

    # -- software custody (development) -----------------------------------------------------------------------------------

    def _software_file(self, key_id: str) -> Path:
        return self.config.secrets / "keys" / f"{key_id}.p8"

    def _refuse_software(self) -> None:
        if self.config.mode == "production":
            raise StandInRefused(
                "Production does not use software keys; make the key in an HSM (custody token).",
                "生产模式不使用软件密钥；请在密码机中生成密钥（custody 为 token）。",
            )

    def generate_software(self, key_id: str, suite: Suite, bits: int) -> dict[str, Any]:
        """A key in a file of the secrets folder, for development."""
        self._refuse_software()
        path = self._software_file(key_id)
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            key = SoftwareKey.generate(suite, rsa_bits=bits if suite is Suite.RSA else 2048)
            temporary = path.with_suffix(f".{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(key.to_pkcs8())
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        return {"spki": self._software_key(key_id).public_key.spki, "model": "software"}

    def sign_software(self, key_id: str, public: PublicKey, message: bytes, scheme: Scheme) -> bytes:
        self._refuse_software()
        signature = self._software_key(key_id).sign(message, scheme)
        if not public.verify(message, signature, scheme):
            raise driver.faulty(str(public.suite))
        return signature

    def destroy_software(self, key_id: str) -> int:
        self._software.pop(key_id, None)
        path = self._software_file(key_id)
        existed = path.exists()
        path.unlink(missing_ok=True)
        return int(existed)

    def _software_key(self, key_id: str) -> SoftwareKey:
        key = self._software.get(key_id)
        if key is None:
            try:
                key = self._software[key_id] = SoftwareKey.from_pkcs8(self._software_file(key_id).read_bytes())
            except OSError as exc:
                raise KeyMissing(
                    "The file of this software key is gone; restore the secrets folder or retire the key.",
                    "该软件密钥的文件缺失；请恢复 secrets 目录或停用该密钥。",
                    key_id=key_id,
                ) from exc
        return key

    # -- within -----------------------------------------------------------------------------------------------------------

    @contextmanager
    def _visit(self, label: str) -> Iterator[None]:
        """The root CA's token is used by one at a time, and logged out when he leaves."""
        if label != self.config.root_token or label == self.config.main_token:
            yield
            return
        with self._root_lock:
            try:
                yield
            finally:
                self.slot(label).logout()

    def _refuse_stand_ins(self) -> None:
        names = [self._library.library_description, self._library.manufacturer_id]
        for label, slot in self._slots.items():
            token = slot.token()
            names += [token.manufacturer_id, token.model, token.slot.slot_description, token.slot.manufacturer_id]
            word = "a stand-in profile" if self.config.profile.stand_in else stand_in_words(*names)
            if word:
                raise StandInRefused(
                    f"Production refuses the token {label}: it identifies itself as no HSM ({word}). Configure a "
                    "real one in node.toml.",
                    f"生产模式拒绝令牌 {label}：其自称并非密码机（{word}）。请在 node.toml 中配置真实的密码机。",
                    token=label,
                    word=word,
                )
