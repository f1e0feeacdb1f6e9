"""The pages' sentences: gettext catalogues, one file a subject and language, with keys for message ids.

``locale/zh/desk.po`` and ``locale/en/desk.po`` hold the same keys; a key belongs to one subject and is unique over all of
them. Placeholders are ``{name}``. Babel reads the files once; what they lack is a programming error, found by the tests.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from babel.messages.pofile import read_po

LANGUAGES = ("zh", "en")
LOCALE = Path(__file__).parent / "locale"


class TwiceDefined(ValueError):
    """A key stands in two catalogues, or twice in one."""


def subjects(lang: str) -> list[str]:
    """The subjects that have sentences in ``lang``, sorted."""
    return sorted(path.stem for path in (LOCALE / lang).glob("*.po"))


def sentences(lang: str, subject: str) -> dict[str, str]:
    """``{key: sentence}`` of one file."""
    with (LOCALE / lang / f"{subject}.po").open("rb") as file:
        return {str(one.id): str(one.string) for one in read_po(file, locale=lang, abort_invalid=True) if one.id}


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(lang: str) -> dict[str, str]:
    """Every sentence of a language by its key.

    :raises TwiceDefined: two subjects claim a key
    """
    found: dict[str, str] = {}
    for subject in subjects(lang):
        for key, sentence in sentences(lang, subject).items():
            if key in found:
                raise TwiceDefined(f"{key} stands in {lang}/{subject}.po and in another subject")
            found[key] = sentence
    return found


def known(key: str) -> bool:
    """Whether there is a sentence of this key."""
    return key in catalogue(LANGUAGES[0])


def text(lang: str, key: str, **values: object) -> str:
    """The sentence ``key`` in ``lang``; a key that the catalogue lacks is a programming error and raises KeyError."""
    sentence = catalogue(lang)[key]
    return sentence.format(**values) if values else sentence
