"""One check for every combo of ours. The page offers the words; a prompt by the API, or a wire from another node, can
hold any, and not every ComfyUI looks."""

from __future__ import annotations

import functools
import inspect

from comfy_api.latest import io

from ..sadtalker_core.choices import one_of
from ..sadtalker_core.errors import OptionError, shorten

#: combos that list files: these come and go while the server runs, and each node looks for its own
FILE_LISTS = frozenset({"image", "model", "track"})


def with_checked_choices(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node itself; its `execute` now begins with the check: OptionError for a word that its combos do not offer."""
    execute = node.execute.__func__  # type: ignore[attr-defined]
    signature = inspect.signature(execute)

    @functools.cache
    def choices() -> dict[str, tuple]:
        combos = (given for given in node.define_schema().inputs if isinstance(given, io.Combo.Input))
        return {combo.id: tuple(combo.options or ()) for combo in combos}

    @functools.wraps(execute)
    def checked(cls, *args, **kwargs):
        given = signature.bind(cls, *args, **kwargs).arguments
        for name, allowed in choices().items():
            if name in FILE_LISTS:
                _require_text(name, given.get(name))
            elif name in given:
                one_of(name, given[name], allowed)
        return execute(cls, *args, **kwargs)

    node.execute = classmethod(checked)  # type: ignore[assignment]
    return node


def _require_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise OptionError(f"{name}: expected the name of a file as text, got {shorten(repr(value))}.")
