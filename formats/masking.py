"""Personal data for those who need not have all of it: enough to compare with what is in hand, too little to copy down.

A clerk who holds the card beside the screen sees whether ``赵*`` and ``9900************19`` agree with it; who only sees the
screen learns nobody's number. Asterisks of a name do not tell how long it is.
"""

from __future__ import annotations

_SAMPLE = "样本 "
_KEPT_FRONT = 4
_IDENTITY = 18


def name(text: str) -> str:
    """A person's name: its first character, then one asterisk, whatever the length; the mark 样本 stays.

    >>> name("赵大爷"), name("样本 李店主"), name("")
    ('赵*', '样本 李*', '')
    """
    text = text.strip()
    mark = _SAMPLE if text.startswith(_SAMPLE) else ""
    rest = text[len(mark) :].strip()
    return f"{mark}{rest[:1]}*" if rest else text


def number(text: str) -> str:
    """A number that names a person: the first four characters and the 17th and 18th, the others as asterisks.

    What stands behind the eighteenth is hidden too: in the number of a disability certificate it tells the kind and the grade.
    Of a number shorter than a resident identity number the first and the last two characters stay, of a very short one none.

    >>> number("990000195001010019"), number("99000019500101001941")
    ('9900************19', '9900************19**')
    >>> number("E12345678"), number("1234567")
    ('E1*****78', '*******')
    """
    text = text.strip()
    size = len(text)
    if size >= _IDENTITY:
        return text[:_KEPT_FRONT] + "*" * (_IDENTITY - _KEPT_FRONT - 2) + text[16:18] + "*" * (size - _IDENTITY)
    if size >= 8:
        return text[:2] + "*" * (size - 4) + text[-2:]
    return "*" * size
