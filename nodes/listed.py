"""Names the portrait in an error, where a list of portraits runs through the graph one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from comfy_execution.utils import get_executing_context

from ..sadtalker_core.errors import SadTalkerError, shorten


@contextmanager
def named(name: str = "") -> Iterator[None]:
    """Adds the portrait's name and its place in the list to an error of the pack raised inside.

    ComfyUI passes the place, but not the length of the list. A single portrait has the place 0, too, so for the first
    of a list only the name is added.
    """
    try:
        yield
    except SadTalkerError as error:
        label = _label(name)
        if not label or str(error).startswith(label):
            raise
        raise type(error)(f"{label}: {error}") from error


def _label(name: str) -> str:
    context = get_executing_context()
    place = context.list_index if context is not None else None
    called = f"the portrait '{shorten(name, 100)}'" if name else "the portrait"
    if place:
        return f"{called}, number {place} of the list (counting from 0)"
    return called if name else ""
