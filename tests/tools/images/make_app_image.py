"""Joins what the tests saw of the apps into web/pictures/page_apps.jpg.

python -m tests.tools.images.make_app_image        (after `make test`, or tests/comfyui/test_newer.py)
"""

from __future__ import annotations

from PIL import Image

from tests.tools.comfyui.layout import PROJECT, home
from tests.tools.images.saving import save_small

HEIGHT, GAP = 560, 12


def main() -> None:
    names = ("1_talking_portrait.app_after_its_run", "2_full_body.app_opened", "2_full_body.app_after_its_run")
    shots = [Image.open(home() / "screenshots" / f"{name}.png").convert("RGB") for name in names]
    shots = [
        shot.resize((round(shot.width * HEIGHT / shot.height), HEIGHT), Image.Resampling.LANCZOS) for shot in shots
    ]
    joined = Image.new("RGB", (sum(shot.width + GAP for shot in shots) - GAP, HEIGHT), "white")
    left = 0
    for shot in shots:
        joined.paste(shot, (left, 0))
        left += shot.width + GAP
    save_small(joined, PROJECT / "web" / "pictures" / "page_apps.jpg")


if __name__ == "__main__":
    main()
