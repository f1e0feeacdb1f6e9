"""Limits as data (``limits.toml``), read once."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

_DATA: dict[str, Any] = tomllib.loads((Path(__file__).parent / "limits.toml").read_text(encoding="utf-8"))

DOCUMENT_BYTES: int = _DATA["upload"]["document"]
REQUEST_BYTES: int = _DATA["upload"]["request_body"]

DRAFTS_PER_ACCOUNT: int = _DATA["drafts"]["per_account"]
DRAFT_BYTES_PER_ACCOUNT: int = _DATA["drafts"]["bytes_per_account"]
DRAFT_DAYS: int = _DATA["drafts"]["days"]

SIGN_IN_FAILURES: int = _DATA["sign_in"]["failures"]
SIGN_IN_LOCK = timedelta(minutes=_DATA["sign_in"]["lock_minutes"])
SESSION_IDLE = timedelta(minutes=_DATA["sign_in"]["session_idle_minutes"])
SESSION_LONGEST = timedelta(hours=_DATA["sign_in"]["session_hours"])

CITIZEN_SESSION_IDLE = timedelta(minutes=max(10, _DATA["citizens"]["session_idle_minutes"]))
CITIZEN_SESSION_LONGEST = timedelta(hours=_DATA["citizens"]["session_hours"])

DELEGATION_LONGEST = timedelta(days=_DATA["people"]["delegation_days"])

CALL_BACK_FIRST_PAUSE = timedelta(seconds=_DATA["call_backs"]["first_pause_seconds"])
CALL_BACK_LONGEST_PAUSE = timedelta(seconds=_DATA["call_backs"]["longest_pause_seconds"])
CALL_BACK_GIVE_UP = timedelta(hours=_DATA["call_backs"]["give_up_hours"])
CALL_BACK_SECONDS: int = _DATA["call_backs"]["answer_seconds"]
SUBSCRIPTIONS: int = _DATA["call_backs"]["subscriptions"]

DRAIN = timedelta(seconds=_DATA["rotation"]["drain_seconds"])
DISTRIBUTION = timedelta(hours=_DATA["rotation"]["distribution_hours"])
WARN_BEFORE = timedelta(days=_DATA["rotation"]["warn_days"])
SEAL_KEY_AGE = timedelta(days=_DATA["rotation"]["seal_key_days"])

APPROVALS_NEEDED: int = max(2, _DATA["approvals"]["needed"])
"""Officers who must approve; a smaller number in the file counts as two."""
APPROVAL_HOURS: int = _DATA["approvals"]["hours"]
APPROVAL_LONGEST_HOURS: int = _DATA["approvals"]["longest_hours"]
ENQUIRY_ANSWER = timedelta(hours=_DATA["enquiries"]["answer_hours"])
