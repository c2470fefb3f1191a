"""docs/API.md says what the docstrings say."""

from __future__ import annotations

from tests.tools.make_api_doc import FILE, document


def test_the_page_is_what_the_docstrings_make_of_it():
    same = FILE.read_text(encoding="utf-8") == document()
    assert same, "a public docstring has changed: run python -m tests.tools.make_api_doc"


def test_everything_public_is_described():
    import sadtalker_core

    page = document()
    assert [name for name in sadtalker_core.__all__ if f"## {name}\n" not in page and f"- `{name}`: " not in page] == []
    assert "```text\n```" not in page and "\n\n\n" not in page
