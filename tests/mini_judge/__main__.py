"""`python -m tests.mini_judge`: how good the built-in model is. The program is tests.tools.mini_judge."""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("tests.tools.mini_judge", run_name="__main__", alter_sys=True)
