"""Where the scripts lie that run inside a ComfyUI process."""

from pathlib import Path

import pytest

INSIDE = Path(__file__).resolve().parent / "inside"


@pytest.fixture(scope="module")
def inside() -> Path:
    return INSIDE
