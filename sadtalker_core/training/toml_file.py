"""A flat table of settings comes in, a TOML file goes out, and back again.

Reading is tomllib's (tomli's on Python 3.10, which `pip install .[train]` brings); writing needs only strings, numbers,
booleans and lists of them, so there is no library for it here.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, OptionError
from ..saving import save_bytes


def write_toml(file: Path, settings: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> Path:
    """comments: {name: comment above its line}.  Raises TypeError for another type of value."""
    lines = []
    for name, value in settings.items():
        if comments and name in comments:
            lines += [f"# {line}" for line in comments[name].splitlines()]
        lines.append(f"{_key(name)} = {_value(value)}")
    return save_bytes(file, ("\n".join(lines) + "\n").encode("utf-8"))


def read_toml(file: Path) -> dict[str, Any]:
    """Raises InputError for a file that is none, or not TOML."""
    loads = _reader()
    try:
        return dict(loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    except ValueError as error:  # TOML's own errors, and bytes that are no text
        raise InputError(f"{file} is no TOML file: {error}.") from error


def _reader() -> Callable[[str], dict[str, Any]]:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads
    try:
        import tomli
    except ImportError as error:
        raise OptionError("reading TOML on Python 3.10 needs tomli: pip install .[train]") from error
    return tomli.loads


def _key(name: str) -> str:
    return name if name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name) else _text(name)


def _text(text: str) -> str:
    """JSON's strings are TOML's, except surrogate pairs, and DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        return repr(value)
    if isinstance(value, (str, Path)):
        return _text(str(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"expected a text, a number, a truth or a list of them, got {type(value).__name__}")


__all__ = ["read_toml", "write_toml"]
