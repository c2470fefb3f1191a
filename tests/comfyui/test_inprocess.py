"""ComfyUI's insides, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.comfyui.environment import INSIDE
from tests.tools.comfyui.inprocess import InsideError, run_inside

pytestmark = pytest.mark.comfyui


def test_a_prompt_runs_inside_and_only_what_changed_runs_again(comfyui, tmp_path):
    found = run_inside(comfyui, INSIDE / "core_run.py", tmp_path / "base", pack=None)
    assert found["first"] == ["1", "2", "3"]
    assert found["again"] == ["4"]
    assert sorted(found["cached"]) == ["1", "2", "3"]
    assert "Required input is missing" in found["refused"]
    assert found["shape"] == [2, 16, 32, 3] and found["shown"] == 2
    assert found["device"] == "cpu" and found["at_home"] and found["loaded"] == 0


def test_a_script_that_raises_shows_its_last_words(comfyui, tmp_path):
    script = Path(tmp_path / "raises.py")
    script.write_text("def main(host):\n    raise ArithmeticError('out of fingers')\n", encoding="utf-8")
    with pytest.raises(InsideError, match="out of fingers"):
        run_inside(comfyui, script, tmp_path / "base", pack=None)
