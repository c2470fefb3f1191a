"""The part "compiled" of gpu.py, in the process that it starts: one JSON line for each row."""

from __future__ import annotations

import json
import sys

import torch

from tests.tools.bench.gpu import Clock, Size, TimeIsUp, compile_here


def main(options: str) -> int:
    asked = json.loads(options)
    try:
        for row in compile_here(torch.device(asked["device"]), Clock(asked["seconds"]), Size(), asked["best"]):
            print(json.dumps(row), flush=True)
    except TimeIsUp:
        print(json.dumps({"what": "the rest is left out: its share of the time is used"}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
