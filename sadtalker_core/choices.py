"""An argument comes in that should be one of a few words, a number or a record; it goes out, or an error on
what was expected.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from .errors import OptionError, shorten

Word = TypeVar("Word", bound=str)
Thing = TypeVar("Thing")


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


def number_in(name: str, value: object, low: float, high: float, or_else: str = "") -> float:
    """The value, if it is a number from low to high. or_else: what else the option takes, for the sentence: "0, or ".

    Raises OptionError for any other number, and for anything that is no number.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return value
    got = f"{value:g}" if isinstance(value, float) else shorten(repr(value), 100)
    raise OptionError(f"{name}: expected {or_else}a number from {low:g} to {high:g}, got {got}.")


def of_kind(name: str, value: Thing, kind: Any) -> Thing:
    """The value, if it is of that kind, which None is not. Raises OptionError for anything else."""
    if isinstance(value, kind):
        return value
    raise OptionError(f"{name}: expected {kind.__name__}, got {type(value).__name__}.")


__all__ = ["number_in", "of_kind", "one_of"]
