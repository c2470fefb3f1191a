"""`python -m tests.mini_evaluator`: how good the built-in model is. The program is tests.tools.mini_evaluator."""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("tests.tools.mini_evaluator", run_name="__main__", alter_sys=True)
