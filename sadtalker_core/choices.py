"""A word comes in that should be one of a few; that one goes out, or a sentence that names them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from .errors import OptionError, shorten

Word = TypeVar("Word", bound=str)


def one_of(name: str, value: object, allowed: Iterable[Word]) -> Word:
    """The member of `allowed` (words, or an Enum of words) that equals the value.

    name: what the user calls the option. Raises OptionError for anything else, whatever its type.
    """
    allowed = tuple(allowed)
    if isinstance(value, str):
        for word in allowed:
            if value == word:
                return word
    words = ", ".join(str(getattr(word, "value", word)) for word in allowed)
    raise OptionError(f"{name}: expected one of {words}, got {shorten(repr(value))}.")


__all__ = ["one_of"]
