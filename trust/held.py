"""What this node holds of other regions' states: status lists and seal lists, fetched when needed, kept for when that fails.

A region is asked at the hosts that its trust list names, and nowhere else; what it answers counts only if a key that the same
list names for it signed it. The last good answer stays until a younger one is there: one that is older than what is held is
somebody playing back the past, and refused. Layout of ``folder``: ``REGION/NAME.json`` with the address, the time and the
signed text; every reading checks the signature again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from crypto.errors import XinyinError
from crypto.keys import PublicKey
from formats.jose import public_key
from formats.statuslist import MEDIA_TYPE_JWT, BadStatusList, StatusListToken, StatusRef, read_jwt
from store.db import utc_now
from trust.outbound import Outbound
from verify.schemas import SealStatus, StatusListProvider, TokenState
from verify.sealstatus import SealStatusList, SealStatusRefused, read_seal_status
from verify.trust import ServiceType, TrustList, TrustStore

SEALS_PATH = "/status/seals.jws"
_AHEAD = timedelta(minutes=5)
"""How far another region's clock may run ahead of ours."""
_SHORTEST, _LONGEST = timedelta(seconds=5), timedelta(days=1)
"""What a list may ask for as its ``ttl``."""
_DEFAULT_TTL = timedelta(minutes=5)
_SEALS_TTL = timedelta(minutes=1)
_PAUSE = 20.0  # seconds after a failure before the same address is tried again: a dead service must not slow every answer
_MOST_KEPT = 500  # lists a region


@dataclass(frozen=True)
class _Kept:
    """A signed text as it was fetched."""

    url: str
    fetched: datetime
    text: str


class HeldLists:
    """Other regions' states. Fills ``verify.schemas.StatusListProvider``; :meth:`seals` gives a ``SealStatusProvider``.

    :param trust: the trust store as it is now; asked once a question, because lists come and go
    :param region: our own, whose states the registers know
    :param own: answers for our own addresses
    """

    def __init__(
        self,
        folder: Path,
        trust: Callable[[], TrustStore],
        outbound: Outbound,
        *,
        region: str,
        own: StatusListProvider | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.folder = folder
        self.region = region
        self._trust = trust
        self._outbound = outbound
        self._own = own
        self._now = now
        self._failed: dict[str, float] = {}
        self._lock = threading.Lock()

    # -- states -----------------------------------------------------------------------------------------------------------

    def state(self, ref: StatusRef, at: datetime, *, offline: bool = False) -> TokenState | None:
        """What the list at an address says of a place; None where no good list is to be had, or nobody listed vouches for it.

        :param offline: use what is held, ask nobody
        """
        if self._own is not None and (own := self._own.state(ref, at)) is not None:
            return own
        host = _host(ref.uri)
        listed = next((one for one in self._trust().lists if host in _hosts(one)), None)
        if listed is None or listed.region == self.region:
            return None
        keys = _keys(listed, self._now())
        held, token = self._status_list(listed, ref.uri, keys, offline=offline)
        if held is None or token is None or not 0 <= ref.index < len(token.statuses):
            return None
        now = self._now()
        stale = (token.expires is not None and now > token.expires) or listed.state(now) != "current"
        source = f"status-list {listed.region}"
        return TokenState(token.statuses[ref.index], token.issued, held.fetched, stale, source)

    def seal_status(self, es_id: str, at: datetime, *, offline: bool = False) -> SealStatus | None:
        """How a seal of another region stood. The esID begins with the region, whose own list alone is asked."""
        region = es_id[:6]
        listed = self._trust().list_of(region)
        if listed is None or region == self.region:
            return None
        found = self._seal_list(listed, offline=offline)
        return found.status(es_id, at) if found is not None else None

    def seals(self, *, offline: bool = False) -> HeldSeals:
        """As a ``SealStatusProvider``."""
        return HeldSeals(self, offline)

    def statuses(self, *, offline: bool = False) -> HeldStatuses:
        """As a ``StatusListProvider`` that never asks anybody, where ``offline``."""
        return HeldStatuses(self, offline)

    # -- upkeep -----------------------------------------------------------------------------------------------------------

    def refresh(self, region: str | None = None) -> list[dict[str, object]]:
        """Fetch what is held of every region, or of one, and its seal list, for the day when it cannot be reached.

        One entry an address: ``{"region", "url", "status": "fresh|kept|missing"}``.
        """
        done: list[dict[str, object]] = []
        for listed in self._trust().lists:
            if listed.region == self.region or region not in (None, listed.region):
                continue
            keys = _keys(listed, self._now())
            for kept in self._all_of(listed.region):
                if kept.url.endswith(SEALS_PATH):
                    continue
                self._forgive(kept.url)
                held, _ = self._status_list(listed, kept.url, keys, again=True)
                done.append(_told(listed.region, kept.url, kept, held))
            for url in listed.status_lists[:1]:
                before = self._read(listed.region, "seals")
                self._forgive(url)
                self._seal_list(listed, again=True)
                done.append(_told(listed.region, url, before, self._read(listed.region, "seals")))
        return done

    def holdings(self) -> list[dict[str, object]]:
        """What is held, for pages and doctors: ``{region, kind: statuses|seals, url, fetched, issued, stale}`` each."""
        now, found = self._now(), list[dict[str, object]]()
        for listed in self._trust().lists:
            if listed.region == self.region:
                continue
            for kept in self._all_of(listed.region):
                issued, until = self._dates(kept, listed, now)
                found.append(
                    {
                        "region": listed.region,
                        "kind": "seals" if kept.url.endswith(SEALS_PATH) else "statuses",
                        "url": kept.url,
                        "fetched": kept.fetched,
                        "issued": issued,
                        "stale": issued is None or (until is not None and now > until),
                    }
                )
        return found

    def forget(self, region: str) -> None:
        """Throw away what is held of a region that is no longer trusted."""
        for path in (self.folder / region).glob("*.json"):
            path.unlink(missing_ok=True)

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _status_list(
        self, listed: TrustList, url: str, keys: list[PublicKey], *, offline: bool = False, again: bool = False
    ) -> tuple[_Kept | None, StatusListToken | None]:
        """What is held of an address after asking for it where that is due."""
        name = "status-" + hashlib.sha256(url.encode()).hexdigest()[:32]
        kept = self._read(listed.region, name)
        token = _token(kept, keys, url)
        ttl = min(max(token.ttl or _DEFAULT_TTL, _SHORTEST), _LONGEST) if token is not None else timedelta(0)
        if offline or not self._due(kept if token is not None else None, ttl, url, again=again):
            return (kept, token) if token is not None else (None, None)
        text = self._fetch(url, listed, MEDIA_TYPE_JWT)
        fresh = _token(_Kept(url, self._now(), text), keys, url) if text is not None else None
        if fresh is None or fresh.issued > self._now() + _AHEAD or (token is not None and fresh.issued < token.issued):
            self._fail(url)
            return (kept, token) if token is not None else (None, None)
        made = _Kept(url, self._now(), text or "")
        self._write(listed.region, name, made)
        return made, fresh

    def _seal_list(self, listed: TrustList, *, offline: bool = False, again: bool = False) -> SealStatusList | None:
        url = next(iter(listed.status_lists), None)
        if url is None or _host(url) not in _hosts(listed):
            return None
        kept = self._read(listed.region, "seals")
        known = self._read_seals(kept, listed)
        if offline or not self._due(kept if known is not None else None, _SEALS_TTL, url, again=again):
            return known
        text = self._fetch(url, listed, "application/jose")
        fresh = self._read_seals(_Kept(url, self._now(), text), listed) if text is not None else None
        if fresh is None or fresh.issued > self._now() + _AHEAD or (known is not None and fresh.issued < known.issued):
            self._fail(url)
            return known
        self._write(listed.region, "seals", _Kept(url, self._now(), text or ""))
        return fresh

    def _read_seals(self, kept: _Kept | None, listed: TrustList) -> SealStatusList | None:
        if kept is None:
            return None
        try:
            found = read_seal_status(kept.text, TrustStore([listed]))
        except SealStatusRefused:
            return None
        return found if found.region == listed.region else None

    def _dates(self, kept: _Kept, listed: TrustList, now: datetime) -> tuple[datetime | None, datetime | None]:
        """When a held list was signed and until when it counts; nothing for one that nobody vouches for any more."""
        if kept.url.endswith(SEALS_PATH):
            seals = self._read_seals(kept, listed)
            return (seals.issued, seals.next_update) if seals is not None else (None, None)
        token = _token(kept, _keys(listed, now), kept.url)
        return (token.issued, token.expires) if token is not None else (None, None)

    def _due(self, kept: _Kept | None, ttl: timedelta, url: str, *, again: bool) -> bool:
        with self._lock:
            failed = self._failed.get(url)
        if failed is not None and time.monotonic() - failed < _PAUSE:
            return False
        age = self._now() - kept.fetched if kept is not None else None
        return again or age is None or not timedelta(0) <= age < ttl

    def _fetch(self, url: str, listed: TrustList, accept: str) -> str | None:
        try:
            return self._outbound.get(url, listed.domains, accept=accept).decode("ascii")
        except (XinyinError, UnicodeDecodeError):
            return None

    def _fail(self, url: str) -> None:
        with self._lock:
            if len(self._failed) > 10_000:
                self._failed.clear()
            self._failed[url] = time.monotonic()

    def _forgive(self, url: str) -> None:
        with self._lock:
            self._failed.pop(url, None)

    # -- files ------------------------------------------------------------------------------------------------------------

    def _all_of(self, region: str) -> Iterable[_Kept]:
        names = sorted(path.stem for path in (self.folder / region).glob("*.json"))
        return [kept for name in names if (kept := self._read(region, name)) is not None]

    def _read(self, region: str, name: str) -> _Kept | None:
        try:
            found = json.loads((self.folder / region / f"{name}.json").read_text("utf-8"))
            fetched = datetime.fromisoformat(found["fetched"])
            return _Kept(str(found["url"]), fetched if fetched.tzinfo else fetched.replace(tzinfo=UTC), str(found["text"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, region: str, name: str, kept: _Kept) -> None:
        """Replace a file in one step; past a bound the one that was fetched longest ago goes."""
        folder = self.folder / region
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}.new"
        draft.write_text(json.dumps({"url": kept.url, "fetched": kept.fetched.isoformat(), "text": kept.text}), "utf-8")
        draft.replace(folder / f"{name}.json")
        self._forgive(kept.url)
        others = sorted(folder.glob("status-*.json"), key=lambda path: path.stat().st_mtime)
        for path in others[: max(0, len(others) - _MOST_KEPT)]:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class HeldStatuses:
    """:class:`HeldLists` as a ``verify.schemas.StatusListProvider``."""

    held: HeldLists
    offline: bool = False

    def state(self, ref: StatusRef, at: datetime) -> TokenState | None:
        return self.held.state(ref, at, offline=self.offline)


@dataclass(frozen=True)
class HeldSeals:
    """:class:`HeldLists` as a ``verify.schemas.SealStatusProvider``."""

    held: HeldLists
    offline: bool = False

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        return self.held.seal_status(es_id, at, offline=self.offline)


def _keys(listed: TrustList, now: datetime) -> list[PublicKey]:
    """Keys that the region's own trust list names for status lists and has not withdrawn."""
    found = []
    for service in listed.services:
        if service.type is ServiceType.STATUS_LIST and service.jwk is not None and not service.withdrawn_at(now):
            try:
                found.append(public_key(service.jwk))
            except XinyinError:
                continue
    return found


def _token(kept: _Kept | None, keys: list[PublicKey], url: str) -> StatusListToken | None:
    if kept is None or kept.url != url:
        return None
    try:
        return read_jwt(kept.text, keys, uri=url)
    except BadStatusList:
        return None


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _hosts(listed: TrustList) -> set[str]:
    return {domain.lower() for domain in listed.domains} - {""}


def _told(region: str, url: str, before: _Kept | None, after: _Kept | None) -> dict[str, object]:
    changed = after is not None and (before is None or after.fetched != before.fetched)
    return {"region": region, "url": url, "status": "fresh" if changed else "missing" if after is None else "kept"}
