"""`python -m tests.comfyui COMMAND`: what the Makefile's targets do. The program is tests.tools.comfyui."""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("tests.tools.comfyui", run_name="__main__", alter_sys=True)
