"""Readers of identity cards at counters.

A reader gives what is on the card that lies on it: name and identity number. Whether the person on the card is the one who
stands there is for the clerk to see. What is read is used at once and not kept: the number becomes a person key, the name a
mask.

No real reader can be connected here (its maker's driver comes with it, and a licence to read the chip), so the only one that
ships is simulated. It says so wherever it is used, and a production node refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from crypto.errors import Conflict, NotFound


class NoCardReader(Conflict):
    """This node has no reader that it may use."""

    code = "no-card-reader"


class NoCard(NotFound):
    """No card lies on the reader."""

    code = "no-card"


@dataclass(frozen=True)
class CardRead:
    """What a card says. Never logged: its text form shows neither.

    :ivar reader: what read it, ``simulated`` where nothing was read at all
    """

    name: str = field(repr=False)
    id_number: str = field(repr=False)
    reader: str


class CardReader(Protocol):
    """What a counter needs of a reader."""

    @property
    def name(self) -> str:
        """Kept with every visit."""
        ...

    @property
    def simulated(self) -> bool: ...

    def cards(self) -> list[str]:
        """Names of the cards that can be put on it: of a simulated one. A real reader knows none before one lies there."""
        ...

    def read(self, card: str | None = None) -> CardRead:
        """The card that lies on it. :raises NoCard: none does"""
        ...


class SimulatedReader:
    """Plays a card reader with made-up cards 样本.

    :param cards: ``(name, identity number)`` of people who do not exist
    """

    name = "simulated"
    simulated = True

    def __init__(self, cards: Sequence[tuple[str, str]]) -> None:
        self._cards = dict(cards)

    def cards(self) -> list[str]:
        return list(self._cards)

    def read(self, card: str | None = None) -> CardRead:
        number = self._cards.get(card or "")
        if card is None or number is None:
            raise NoCard("Choose the sample card that lies on the reader.", "请选择放在读卡器上的样本身份证。")
        return CardRead(card, number, self.name)


def card_reader(mode: str, cards: Sequence[tuple[str, str]]) -> CardReader:
    """The reader of this node.

    :raises NoCardReader: a production node, for which none is connected
    """
    if mode == "production":
        raise NoCardReader(
            "No card reader is connected, and a production node refuses the simulated one.",
            "本节点未连接身份证阅读器；生产环境不得使用模拟读卡器。",
        )
    return SimulatedReader(cards)
