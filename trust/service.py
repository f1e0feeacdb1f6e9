"""Publishing our list, importing others' and never going back: a lower sequence number is refused, the last good list kept.

Layout of a node's ``trust`` folder: ``list.jws`` (our own), ``lists/<region>.jws`` (imported), ``pins.json`` (whose key counts,
for which region, and the highest sequence number and issue date seen of it). Files are replaced in one step, so that a reader
never sees half a list.
"""

from __future__ import annotations

import base64
import json
import os
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from joserfc.util import urlsafe_b64encode

from crypto.errors import Conflict, NotFound
from crypto.keys import Signer
from crypto.suites import Suite
from formats import jose
from formats.dates import shown_time
from formats.x509 import Certificate
from store.locks import alone
from trust.schemas import ListContent
from verify.trust import TrustList, TrustListRefused, TrustStore, key_fingerprint, read_list, read_pins

_MAX_CLOCK_AHEAD = 300  # seconds that another region's clock may run ahead of ours


class LowerSequence(Conflict):
    """A list that is older than one already accepted: somebody may be playing back an old state."""

    code = "trust-list-rollback"


class WrongRegion(Conflict):
    """A pinned key that signs for a region other than the one it was pinned for."""

    code = "trust-list-wrong-region"


class DomainTaken(Conflict):
    """A list that names a host of another region."""

    code = "trust-list-domain-taken"


def sign_list(content: ListContent, signer: Signer, certificate: Certificate | None = None) -> str:
    """The list as compact JWS with ES256 (RFC 7515), a JAdES B-B signature where there is a certificate. One signature.

    The header carries the public key and its fingerprint, which is what readers pin; for readers of JAdES (ETSI TS 119 182-1
    §5.1) the time of signing (``iat``), the certificate (``x5c``) and its digest (``x5t#S256``). No trust rests on these.
    """
    if signer.public_key.suite is not Suite.P256:
        raise TrustListRefused("A trust list is signed with a P-256 key.", "信任列表须使用 P-256 密钥签名。")
    header: dict[str, Any] = {
        "cty": "application/json",
        "typ": "trust-list+jws",
        "kid": signer.public_key.fingerprint,
        "jwk": jose.public_jwk(signer.public_key),
        "iat": int(content.issued.timestamp()),
    }
    if certificate is not None:
        header["x5t#S256"] = urlsafe_b64encode(sha256(certificate.der).digest()).decode("ascii")
        header["x5c"] = [base64.b64encode(certificate.der).decode("ascii")]
    return jose.sign(header, content.to_json(), signer)


class TrustService:
    """A node's trust folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def store(self) -> TrustStore:
        """What the verifier trusts now."""
        return TrustStore.from_folder(self.folder)

    def publish(self, content: ListContent, signer: Signer, certificate: Certificate | None = None) -> TrustList:
        """Sign our list, check it as a reader would, and put it in place; our own key is pinned on the way.

        The sequence number is one above the last published when ``content.sequence`` is 0.

        :raises LowerSequence: a sequence number that does not grow
        """
        with self._alone():
            pins = self._pins()
            fingerprint = signer.public_key.fingerprint
            last = max((int(p.get("sequence", 0)) for p in pins.values() if p.get("region") == content.region), default=0)
            if content.sequence == 0:
                content = replace(content, sequence=last + 1)
            if content.sequence <= last:
                raise _lower(content.region, content.sequence, last)
            text = sign_list(content, signer, certificate)
            made = read_list(text, [fingerprint])
            pins[fingerprint] = _pin(made, pins.get(fingerprint))
            self._write("list.jws", text)
            self._write_pins(pins)
            return made

    def accept(self, data: bytes, *, pin: str | None = None, now: datetime | None = None, own: str | None = None) -> TrustList:
        """Import another region's list, the first time with its fingerprint, later by the pin that is kept; a list signed by
        the key that the last good one announced takes the pin over.

        A refused list changes nothing: the last good one stays in use.

        :param own: our own region, for which nobody else speaks, whatever fingerprint was compared
        :raises TrustListRefused: not pinned, not signed by its key, issued in the future, or unreadable
        :raises LowerSequence: older than what was accepted before, or another list under the same number
        :raises WrongRegion: the key is pinned for another region, or the region already has another key
        :raises DomainTaken: it names a host of another region
        """
        with self._alone():
            return self._accepted(data, pin, now or datetime.now(UTC), own)

    def _accepted(self, data: bytes, pin: str | None, now: datetime, own: str | None) -> TrustList:
        pins = self._pins()
        announced = self._announced(pins)
        found = read_list(data, {*pins, *announced, *([pin] if pin else [])})
        known = pins.get(found.fingerprint)
        if found.region == own:
            raise WrongRegion(
                f"The list speaks for {found.region}, our own region, whose list is published here; do not import it.",
                f"该列表属于本地区 {found.region}；本地区的列表由本节点发布，不得导入。",
            )
        if known is not None and known["region"] != found.region:
            raise WrongRegion(
                f"This key is pinned for region {known['region']}, but the list speaks for {found.region}; ask the region.",
                f"该密钥固定用于地区 {known['region']}，而列表属于 {found.region}；请向该地区核实。",
            )
        other = next((f for f, p in pins.items() if p["region"] == found.region and f != found.fingerprint), None)
        heir = other is not None and announced.get(found.fingerprint) == other
        if other is not None and pin != found.fingerprint and not heir:
            raise WrongRegion(
                f"Region {found.region} is pinned to another key ({other}); remove that pin first if the key was replaced.",
                f"地区 {found.region} 已固定为另一密钥（{other}）；如密钥已更换，请先移除原有固定。",
            )
        if (found.issued - now).total_seconds() > _MAX_CLOCK_AHEAD:
            raise TrustListRefused(
                "The trust list is dated in the future; check the clocks.", "信任列表的签发时间在未来；请检查时钟。"
            )
        self._check_domains(found)
        self._check_order(found, pins.get(other) if heir and other is not None else known)
        if other is not None:
            del pins[other]
        pins[found.fingerprint] = _pin(found, known)
        self._write(f"lists/{found.region}.jws", found.jws)
        self._write_pins(pins)
        return found

    def forget(self, region: str) -> None:
        """Stop trusting a region: its list and its pin go. :raises NotFound: no such region"""
        with self._alone():
            path = self.folder / "lists" / f"{region}.jws"
            pins = {f: p for f, p in self._pins().items() if p["region"] != region}
            if not path.is_file() and len(pins) == len(self._pins()):
                raise NotFound(f"No list of region {region} is imported.", f"未导入地区 {region} 的列表。")
            path.unlink(missing_ok=True)
            self._write_pins(pins)

    def lists(self, now: datetime | None = None) -> list[dict[str, Any]]:
        """Every list in use with its state, and the problems of those that are not."""
        store = self.store()
        moment = now or datetime.now(UTC)
        items = [
            {
                "id": one.fingerprint,
                "status": one.state(moment),
                "region": one.region,
                "name": one.name,
                "sequence": one.sequence,
                "issued": shown_time(one.issued),
                "next_update": shown_time(one.next_update) if one.next_update else None,
                "services": len(one.services),
            }
            for one in store.lists
        ]
        return items + [{"id": None, "status": "refused", "problem": p.to_dict()} for p in store.problems]

    def _check_domains(self, found: TrustList) -> None:
        """A host belongs to one region: two lists that name it could speak for each other's licences."""
        wanted = {domain.lower() for domain in found.domains}
        for one in self.store().lists:
            taken = wanted & {domain.lower() for domain in one.domains}
            if one.region != found.region and taken:
                host = min(taken)
                raise DomainTaken(
                    f"The list of region {found.region} names the host {host}, which belongs to region {one.region}; ask both.",
                    f"地区 {found.region} 的列表载有主机 {host}，而该主机属于地区 {one.region}；请向双方核实。",
                )

    def _announced(self, pins: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Keys that the last good list of a region announced as its next, with the pinned key that did."""
        return {key: one.fingerprint for one in self.store().lists if one.fingerprint in pins for key in one.next_keys}

    def _check_order(self, found: TrustList, known: dict[str, Any] | None) -> None:
        if known is None:
            return
        last = int(known.get("sequence", 0))
        if found.sequence < last:
            raise _lower(found.region, found.sequence, last)
        if found.sequence == last and known.get("sha256") not in (None, sha256(found.jws.encode()).hexdigest()):
            raise LowerSequence(
                f"Region {found.region} has published two different lists under the number {last}; ask it which one counts.",
                f"地区 {found.region} 以同一序号 {last} 发布了两份不同的列表；请向该地区核实。",
            )

    def _alone(self) -> AbstractContextManager[bool]:
        """One process at a time reads the pins and writes them: a region that an officer drops does not come back because the
        worker has just fetched its list.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return alone(self.folder / ".lock")

    def _pins(self) -> dict[str, dict[str, Any]]:
        return read_pins(self.folder / "pins.json")

    def _write_pins(self, pins: dict[str, dict[str, Any]]) -> None:
        self._write("pins.json", json.dumps({"pins": pins}, ensure_ascii=False, indent=1, sort_keys=True))

    def _write(self, name: str, text: str) -> None:
        """Replace a file in one step, on disk before it has its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.new")
        with draft.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(path)


def fingerprint_of(data: bytes) -> str:
    """Fingerprint that a person compares before pinning. :raises TrustListRefused: not a list"""
    return key_fingerprint(data)


def _pin(found: TrustList, known: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "region": found.region,
        "name": found.name,
        "sequence": found.sequence,
        "sha256": sha256(found.jws.encode()).hexdigest(),
        "issued": shown_time(found.issued),
        "pinned": (known or {}).get("pinned") or shown_time(datetime.now(UTC)),
    }


def _lower(region: str, sequence: int, last: int) -> LowerSequence:
    return LowerSequence(
        f"The list of region {region} has number {sequence}, but number {last} is known; the last good list stays in use.",
        f"地区 {region} 的列表序号为 {sequence}，而已知序号为 {last}；继续使用最后一份有效列表。",
    )
