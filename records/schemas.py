"""What crosses the boundary of the records: refusals about subscriptions and their deliveries."""

from __future__ import annotations

from crypto.errors import BadInput, Conflict, NotFound


class NoSuchSubscription(NotFound):
    """No subscription, delivery or event that the caller may know of has this identifier."""

    code = "no-such-subscription"


class NoSuchEvent(NotFound):
    """No event that the caller may know of has this identifier."""

    code = "no-such-event"


class BadSubscription(BadInput):
    """A subscription that cannot be made like this."""

    code = "bad-subscription"


class SubscriptionStateRefused(Conflict):
    """The subscription or delivery is in a state that does not allow this."""

    code = "subscription-state"
