"""The docstrings of what is public come in, docs/API.md goes out.

python -m tests.tools.make_api_doc
"""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import sadtalker_core
from sadtalker_core.errors import SadTalkerError
from sadtalker_core.options import OPTIONS, Option

FILE = Path(__file__).resolve().parents[2] / "docs" / "API.md"
HEAD = """# The library

Made from the docstrings by `python -m tests.tools.make_api_doc`; edit those.

"""


def document() -> str:
    """The whole page."""
    parts = [HEAD + _plain(sadtalker_core.__doc__)]
    public = [getattr(sadtalker_core, name) for name in sadtalker_core.__all__]
    errors = [one for one in public if inspect.isclass(one) and issubclass(one, SadTalkerError)]
    for one in public:
        if one is OPTIONS:
            parts.append(_options())
        elif one not in errors:
            parts.append(_described(one))
    parts.append(_errors(errors))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _described(one: Any) -> str:
    """A class or a function, with what is public in it."""
    if not inspect.isclass(one):
        return f"## {one.__name__}\n\n{_code(one.__name__, one)}\n\n{_text(one)}"
    lines = [f"## {one.__name__}\n\n{_text(one)}"]
    for name, member in _members(one).items():
        if name.startswith("_") or not (callable(member) or isinstance(member, property)):
            continue
        if isinstance(member, property):
            lines.append(f"### {one.__name__}.{name}\n\n{_plain(member.__doc__)}")
        else:
            lines.append(f"### {one.__name__}.{name}\n\n{_code(name, member)}\n\n{_text(member)}")
    return "\n\n".join(lines)


def _members(kind: type) -> dict[str, Any]:
    """What the class defines, and what its private bases do, which have no section of their own."""
    members = dict(vars(kind))
    for base in kind.__mro__[1:]:
        if base.__name__.startswith("_"):
            members = {**members, **{name: member for name, member in vars(base).items() if name not in members}}
    return members


def _options() -> str:
    """The table of the options."""
    rows = ["| option | values | default | what it does |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {_values(option)} | `{option.default!r}` | {option.help.replace('|', '/')} |"
        for name, option in OPTIONS.items()
    ]
    words = "Every option by its name: what `Options`, the columns of a table of jobs and the command line take."
    return "\n".join(["## OPTIONS", "", words, "", *rows])


def _values(option: Option) -> str:
    words = ", ".join(f"`{choice}`" for choice in option.choices) or option.expected
    return f"{words} ({option.unit})" if option.unit and option.min is not None else words


def _errors(errors: list[type]) -> str:
    """The tree of the errors, as errors.py draws it by its classes."""
    lines = ["## Errors", "", "Each says in a sentence or two what was expected, what came, and what to do.", ""]

    def grow(kind: type, depth: int) -> None:
        lines.append(f"{'    ' * depth}- `{kind.__name__}`: {' '.join(_plain(kind.__doc__).split())}")
        for child in errors:
            if child.__bases__[0] is kind:
                grow(child, depth + 1)

    grow(SadTalkerError, 0)
    return "\n".join(lines)


def _code(name: str, function: Any) -> str:
    """The signature, a line for each argument where one line would be long."""
    signature = inspect.signature(inspect.unwrap(function))
    given: list[str] = []
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and "*" not in given:
            given.append("*")
        default = "" if one.default is one.empty else f" = {one.default!r}".replace("'", '"')
        given.append(f"{one.name}: {one.annotation}{default}")
    answer = f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(given)}){answer}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {one},\n" for one in given) + f"){answer}"
    return f"```python\n{line}\n```"


def _text(one: Any) -> str:
    """The docstring; a dataclass that has none of its own says nothing here."""
    words = one.__doc__ or ""
    if inspect.isclass(one) and dataclasses.is_dataclass(one) and words.startswith(f"{one.__name__}("):
        return ""
    return _plain(words)


def _plain(words: str | None) -> str:
    """A docstring as Markdown: what is arranged in columns keeps its columns."""
    paragraphs = inspect.cleandoc(words or "").split("\n\n")
    return "\n\n".join(_arranged(paragraph) for paragraph in paragraphs)


def _arranged(paragraph: str) -> str:
    lines = paragraph.split("\n")
    if all(line.startswith("    ") for line in lines):
        return paragraph
    columns = [number for number, line in enumerate(lines) if line[:1].isalpha() and ":  " in line or ": " in line[:20]]
    if not columns or lines[0].endswith("."):
        return paragraph
    end = next((number for number, line in enumerate(lines) if line.startswith("Raises ")), len(lines))
    block = "\n".join(["```text", *lines[:end], "```"])
    return "\n\n".join(filter(None, [block, " ".join(lines[end:])]))


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
    print(FILE)
