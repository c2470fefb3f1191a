"""Beside a CPU build of torch: takes the compiled parts out of a torchvision and torchaudio that were built for CUDA.

Runs in the Python whose packages it mends. ComfyUI needs only the Python parts of both; torchvision declares fake
kernels for two operators at import, and those must at least be declared to torch.
"""

import pathlib
import sys
import sysconfig

MARK = "# Declared without the CUDA library that would have brought them"

import torch  # noqa: E402

if torch.version.cuda is not None or getattr(torch.version, "hip", None) is not None:
    sys.exit("this torch is not a CPU build; its torchvision and torchaudio stay as they are")

site = pathlib.Path(sysconfig.get_paths()["purelib"])
for library in [
    *(site / "torchvision").glob("*.so"),
    *(site / "torchaudio" / "lib").glob("*.so"),
    *(site / "torchvision").glob("*.pyd"),
    *(site / "torchaudio" / "lib").glob("*.pyd"),
]:
    library.unlink()
extension = site / "torchvision" / "extension.py"
text = extension.read_text(encoding="utf-8")
if MARK not in text:
    extension.write_text(
        text
        + f"""
{MARK}
if not _has_ops():
    _declared = torch.library.Library("torchvision", "DEF")
    _declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
""",
        encoding="utf-8",
    )
print("took the CUDA parts of torchvision and torchaudio out")
