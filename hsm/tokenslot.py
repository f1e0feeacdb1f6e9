"""One token: log-in, a pool of sessions, keys found by their CKA_ID; reconnecting when the token or its sessions went away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pkcs11
from pkcs11 import exceptions as p11

from hsm.errors import KeyMissing, PinRefused, TokenFailed, TokenMissing

T = TypeVar("T")

_STALE = (
    p11.SessionHandleInvalid,
    p11.SessionClosed,
    p11.ObjectHandleInvalid,
    p11.KeyHandleInvalid,
    p11.UserNotLoggedIn,
    p11.DeviceError,
    p11.DeviceRemoved,
    p11.TokenNotPresent,
    p11.OperationActive,
    p11.GeneralError,
    p11.FunctionFailed,
)
"""What a lost connection, a restarted HSM, a logged-out token or a half-finished operation look like: worth one fresh start."""


class Lane:
    """One session of the pool and the handles found through it. Used by one thread at a time."""

    def __init__(self, session: Any, epoch: int) -> None:
        self.session = session
        self.epoch = epoch
        self._keys: dict[bytes, Any] = {}

    def private_key(self, key_id: bytes) -> Any:
        """:raises KeyMissing: the token holds no private key with this CKA_ID, or several"""
        key = self._keys.get(key_id)
        if key is None:
            found = list(
                self.session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.Attribute.ID: key_id})
            )
            if len(found) != 1:
                raise _key_missing(key_id, len(found))
            key = self._keys[key_id] = found[0]
        return key

    def forget(self, key_id: bytes) -> None:
        self._keys.pop(key_id, None)

    def close(self) -> None:
        with suppress(p11.PKCS11Error):
            self.session.close()


class TokenSlot:
    """A token by its label.

    Log-in belongs to the whole process, not to a session: one *anchor* session carries it and is used for nothing else, because
    python-pkcs11 logs out when it closes the session that logged in. The others are opened without a PIN.

    :param read_pin: gives the PIN when it is needed; it is not kept
    """

    def __init__(self, library: Any, label: str, read_pin: Callable[[], str], sessions: int) -> None:
        self.label = label
        self._library = library
        self._read_pin = read_pin
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(sessions)
        self._idle: list[Lane] = []
        self._anchor: Any = None
        self._token: Any = None
        self._epoch = 0

    def token(self) -> Any:
        """:raises TokenMissing: the library knows no token, or several, with this label"""
        if self._token is None:
            try:
                self._token = self._library.get_token(token_label=self.label)
            except (p11.NoSuchToken, p11.MultipleTokensReturned) as exc:
                raise TokenMissing(
                    f"The library has no single token labelled {self.label}; run xinyin init, or correct the label "
                    "in node.toml.",
                    f"PKCS#11 库中没有唯一的标签为 {self.label} 的令牌；请执行 xinyin init，或更正 node.toml 中的标签。",
                    token=self.label,
                ) from exc
        return self._token

    def login(self) -> None:
        """Log in if this process has not.

        :raises PinRefused: wrong or locked PIN
        """
        with self._lock:
            if self._anchor is not None:
                return
            try:
                self._anchor = self.token().open(user_pin=self._read_pin())
            except p11.UserAlreadyLoggedIn:  # by another part of this process: sessions are logged in as they are
                self._anchor = self.token().open()
            except (
                p11.PinIncorrect,
                p11.PinInvalid,
                p11.PinLenRange,
                p11.PinLocked,
                p11.PinExpired,
                p11.UserPinNotInitialized,
            ) as exc:
                raise PinRefused(
                    f"The token {self.label} refuses the PIN in the node's secrets; restore the PIN file or have the "
                    "officer reset the PIN.",
                    f"令牌 {self.label} 拒绝节点 secrets 目录中的 PIN；请恢复 PIN 文件，或由密钥管理员重置 PIN。",
                    token=self.label,
                    reason=type(exc).__name__,
                ) from exc

    def logout(self) -> None:
        """Close every session; the private keys are out of reach until the next log-in."""
        with self._lock:
            self._epoch += 1
            idle, self._idle = self._idle, []
            anchor, self._anchor = self._anchor, None
            self._token = None
        for lane in idle:
            lane.close()
        if anchor is not None:
            with suppress(p11.PKCS11Error):
                anchor.close()

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """A session for this thread; waits for one when all are busy."""
        with self._room:
            self.login()
            with self._lock:
                lane = self._idle.pop() if self._idle else None
                epoch = self._epoch
            if lane is None:
                lane = Lane(self.token().open(), epoch)
            try:
                yield lane
            except BaseException:
                lane.close()  # an operation may be half done in it
                raise
            with self._lock:
                keep = lane.epoch == self._epoch
                if keep:
                    self._idle.append(lane)
            if not keep:
                lane.close()

    def run(self, work: Callable[[Lane], T]) -> T:
        """``work(lane)``, once more after a fresh log-in when session, handle or token had gone.

        :raises TokenFailed: the token refuses twice, or for a reason that a new session does not mend
        """
        for last in (False, True):
            epoch = self._epoch
            try:
                with self.lane() as lane:
                    return work(lane)
            except _STALE as exc:
                if last:
                    raise _failed(self.label, exc) from exc
                self._start_afresh(epoch)
            except p11.PKCS11Error as exc:
                raise _failed(self.label, exc) from exc
        raise AssertionError("unreachable")

    @contextmanager
    def writable(self) -> Iterator[Any]:
        """A read/write session of its own, for making and destroying keys."""
        self.login()
        try:
            session = self.token().open(rw=True)
        except _STALE:
            self._start_afresh(self._epoch)
            self.login()
            session = self.token().open(rw=True)
        try:
            yield session
        finally:
            with suppress(p11.PKCS11Error):
                session.close()

    def forget(self, key_id: bytes) -> None:
        """Drop the handles of a destroyed key (busy sessions find out by themselves)."""
        with self._lock:
            for lane in self._idle:
                lane.forget(key_id)

    def _start_afresh(self, epoch: int) -> None:
        if epoch == self._epoch:  # otherwise another thread has done it since
            self.logout()


def _key_missing(key_id: bytes, count: int) -> KeyMissing:
    return KeyMissing(
        f"The token holds {count} private keys with the identifier {key_id.hex()} where it should hold one; "
        "restore the token from its backup or retire this key.",
        f"令牌中标识为 {key_id.hex()} 的私钥有 {count} 个（应为 1 个）；请从备份恢复令牌，或停用该密钥。",
        key_id=key_id.hex(),
        count=count,
    )


def _failed(label: str, exc: p11.PKCS11Error) -> TokenFailed:
    return TokenFailed(
        f"The token {label} answered {type(exc).__name__}; nothing was signed. Try again; if it stays so, run xinyin doctor.",
        f"令牌 {label} 返回 {type(exc).__name__}；未产生签名。请重试；如仍失败，请执行 xinyin doctor。",
        token=label,
        reason=type(exc).__name__,
    )
