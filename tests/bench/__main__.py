"""`python -m tests.bench`: what a frame costs, and what it needs. The program is tests.tools.bench."""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("tests.tools.bench", run_name="__main__", alter_sys=True)
