"""`python -m tests.fuzz`: broken inputs at every doorway, kill -9 for every writer. See tests.tools.fuzz."""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("tests.tools.fuzz", run_name="__main__", alter_sys=True)
