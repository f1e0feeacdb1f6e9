"""Other regions' trust lists by address: the first import with the fingerprint compared, later ones by themselves.

Where a list came from is kept beside it (``lists/REGION.json``: address, last success, last failure). A refresh that fails
leaves the last good list in use; what was wrong is kept and shown, because a list that goes stale unnoticed ends in documents
that nobody can judge.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crypto.errors import BadInput, NotFound, XinyinError
from formats.dates import shown_time
from store.db import utc_now
from trust.outbound import Outbound
from trust.service import TrustService
from verify.trust import TrustList, TrustListRefused, looks_like_list

PATH = "/trust/list.jws"
EVERY = timedelta(minutes=10)
"""How often a region is asked for a newer list; a withdrawn key is then known everywhere soon."""
PAUSE = timedelta(minutes=1)
"""After a failure."""


@dataclass(frozen=True)
class Source:
    """Where a region's list comes from, and how asking for it went. ``problem`` is of the last try, empty if it went well."""

    region: str
    url: str
    asked: datetime | None = None
    answered: datetime | None = None
    problem: str = ""
    problem_zh: str = ""


class Regions:
    """Imports other regions' lists and keeps them fresh. One instance serves all threads.

    :param own: our region, whose list is published here and never fetched
    """

    def __init__(self, trust: TrustService, outbound: Outbound, own: str, *, now: Callable[[], datetime] = utc_now) -> None:
        self.trust = trust
        self._outbound = outbound
        self.own = own
        self._now = now

    def import_from(self, url: str, *, pin: str | None = None) -> TrustList:
        """Fetch a list from an address that an officer names, and accept it; from then on it is refreshed from there.

        :param pin: fingerprint of the list's key as the region published it, compared by a person; needed once a region
        :raises TrustListRefused: not pinned (the message shows the fingerprint found), or not to be used
        :raises XinyinError: it could not be fetched
        """
        address = url.strip()
        host = _host(address)
        if not urlsplit(address).path.strip("/"):
            address = address.rstrip("/") + PATH
        found = self._accept(self._outbound.get(address, [host], accept="application/jose"), pin)
        self._note(Source(found.region, address, self._now(), self._now()))
        return found

    def import_text(self, data: bytes, *, pin: str | None = None) -> TrustList:
        """Accept a list that came as a file; it is refreshed from the first host that it names itself."""
        return self._accept(data, pin)

    def refresh(self, region: str | None = None, *, due_only: bool = False) -> list[dict[str, Any]]:
        """Ask every region, or one, for a newer list: ``{"region", "status": "updated|unchanged|failed", "sequence", …}`` each.

        :param due_only: leave out those that were asked a short while ago
        :raises NotFound: no list of that region is imported
        """
        lists = [one for one in self.trust.store().lists if one.region != self.own and region in (None, one.region)]
        if region is not None and not lists:
            raise NotFound(f"No list of region {region} is imported.", f"未导入地区 {region} 的列表。")
        sources = {one.region: self.source(one) for one in lists}
        return [self._refresh(one, sources[one.region]) for one in lists if not due_only or self._due(sources[one.region])]

    def source(self, listed: TrustList) -> Source:
        """Where a held list comes from; for one that came as a file, the first host that it names."""
        try:
            found = json.loads(self._path(listed.region).read_text("utf-8"))
            times = {key: datetime.fromisoformat(found[key]) if found.get(key) else None for key in ("asked", "answered")}
            words = {key: str(found.get(key, "")) for key in ("problem", "problem_zh")}
            return Source(listed.region, str(found["url"]), times["asked"], times["answered"], **words)
        except (OSError, ValueError, KeyError, TypeError):
            host = next(iter(listed.domains), "")
            return Source(listed.region, f"{self._outbound.scheme(host)}://{host}{PATH}" if host else "")

    def described(self, now: datetime | None = None) -> list[dict[str, Any]]:
        """Every list in use, ours first, as :meth:`TrustService.lists` tells it; whence it comes, and how asking went."""
        moment = now or self._now()
        lists = {one.fingerprint: one for one in self.trust.store().lists}
        found = []
        for item in self.trust.lists(moment):
            listed = lists.get(str(item["id"]))
            if listed is None or listed.region == self.own:
                found.append({**item, "own": listed is not None})
                continue
            source = self.source(listed)
            more = {"own": False, "domains": [*listed.domains], "url": source.url, "problem_zh": source.problem_zh}
            times = {key: shown_time(value) if value else None for key, value in _times(source).items()}
            found.append({**item, **more, **times, "problem": source.problem})
        return found

    def forget(self, region: str) -> None:
        """Stop trusting a region. :raises NotFound: no such region"""
        self.trust.forget(region)
        self._path(region).unlink(missing_ok=True)

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _accept(self, data: bytes, pin: str | None) -> TrustList:
        if not looks_like_list(data):
            raise TrustListRefused(
                "What is there is no trust list; the address of one ends in /trust/list.jws.",
                "该处不是信任列表；信任列表的地址以 /trust/list.jws 结尾。",
            )
        return self.trust.accept(data, pin=pin, now=self._now(), own=self.own)

    def _refresh(self, listed: TrustList, source: Source) -> dict[str, Any]:
        told: dict[str, Any] = {"region": listed.region, "sequence": listed.sequence, "url": source.url}
        now = self._now()
        try:
            if not source.url:
                raise BadInput("The list names no address.", "列表未载明地址。")
            hosts = [*listed.domains, _host(source.url)]
            found = self._accept(self._outbound.get(source.url, hosts, accept="application/jose"), None)
            if found.region != listed.region:
                raise TrustListRefused("It is the list of another region.", "这是另一地区的列表。")
        except XinyinError as exc:
            self._note(Source(listed.region, source.url, now, source.answered, exc.message, exc.message_zh))
            return {**told, "status": "failed", "message": exc.message, "message_zh": exc.message_zh}
        self._note(Source(listed.region, source.url, now, now))
        status = "updated" if found.jws != listed.jws else "unchanged"
        return {**told, "sequence": found.sequence, "status": status}

    def _due(self, source: Source) -> bool:
        if source.asked is None:
            return True
        age = self._now() - source.asked
        return not timedelta(0) <= age < (PAUSE if source.problem else EVERY)

    def _path(self, region: str) -> Path:
        return self.trust.folder / "lists" / f"{region}.json"

    def _note(self, source: Source) -> None:
        path = self._path(source.region)
        path.parent.mkdir(parents=True, exist_ok=True)
        times = {key: value.isoformat() if value else None for key, value in _times(source).items()}
        draft = path.with_name(f".{path.name}.{os.getpid()}.new")
        kept = {"url": source.url, **times, "problem": source.problem, "problem_zh": source.problem_zh}
        draft.write_text(json.dumps(kept, ensure_ascii=False), "utf-8")
        draft.replace(path)


def _times(source: Source) -> dict[str, datetime | None]:
    return {"asked": source.asked, "answered": source.answered}


def _host(url: str) -> str:
    """``name:port`` of an address. :raises BadInput: none"""
    try:
        host = urlsplit(url).netloc.lower()
    except ValueError:
        host = ""
    if not host or "@" in host:
        raise BadInput(
            "Give the address of the list, for example https://xinyin.example.cn/trust/list.jws.",
            "请给出列表的地址，例如 https://xinyin.example.cn/trust/list.jws。",
        )
    return host
