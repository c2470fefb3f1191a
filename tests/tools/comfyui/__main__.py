"""`python -m tests.comfyui COMMAND`: what the Makefile's targets do."""

from __future__ import annotations

import sys

from tests.tools.comfyui.commands import main

if __name__ == "__main__":
    sys.exit(main())
