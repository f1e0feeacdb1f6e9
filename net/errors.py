"""Refusals and failures of outbound requests."""

from __future__ import annotations

from crypto.errors import BadInput, Forbidden, Unavailable


class AddressRefused(Forbidden):
    """The address is not one that may be asked."""

    code = "address-refused"


class BadAddress(BadInput):
    """No http or https address."""

    code = "bad-address"


class NoAnswer(Unavailable):
    """The host does not answer, or not in time."""

    code = "no-answer"


class AnswerTooSlow(NoAnswer):
    """The answer did not arrive whole within the time limit."""

    code = "answer-too-slow"


class AnswerTooLarge(NoAnswer):
    """The answer is larger than the limit."""

    code = "answer-too-large"


class BadAnswer(NoAnswer):
    """An answer of another kind than was asked for."""

    code = "bad-answer"
