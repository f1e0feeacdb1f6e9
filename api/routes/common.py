"""What every resource shares: paging, idempotency keys, and the shape of errors in the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import AfterValidator

from api.problems import Problem

Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at most")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


def _sensible(value: datetime) -> datetime:
    """In UTC, which a time without a zone is taken for. :raises ValueError: so far off that no clock arithmetic holds"""
    if not 1970 <= value.year <= 2500:
        raise ValueError("a time between the years 1970 and 2500 is wanted")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_sensible)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        description="The same key with the same request gives the same result; with another request 422; while it runs 409",
    ),
]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for the problems that an operation can answer with."""
    return {status: {"model": Problem} for status in statuses}


KNOWN = errors(401, 403)
"""Operations that need a known caller."""
