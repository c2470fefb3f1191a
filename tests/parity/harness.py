"""Stored vectors of the original come in, rows of a table go out: stage, case, field, how far off, how far is allowed.

A file of vectors is an npz with `stage` (a string), `in/<name>` inputs that all cases share, `in/<case>/<name>` and
`out/<case>/<name>`. An input that is the string "@name" or "@name[:n]" stands for a shared array (its first n rows).
An entry `<any of these>.png` holds the bytes of an image instead of its array; the project's own copy is smaller so.
`stages/<stage>.py` knows what to do with them: `check(vectors, seed) -> Iterator[Row]`, where `seed` says with which
rule-made weights the vectors were calculated.

    def check(vectors: Vectors, seed: int) -> Iterator[Row]:
        network = rule_net("expnet", seed)
        for case in vectors.cases:
            given, want = vectors.inputs(case), vectors.outputs(case)
            got = run(network, torch.from_numpy(given["indiv_mels"]))
            yield compare(vectors.stage, case, "exp", got, want["exp"], spread(want["exp"]))
"""

from __future__ import annotations

import functools
import importlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

PARITY = Path(__file__).resolve().parent
OWN_VECTORS = PARITY / "vectors"
#: beside the project: more cases than the project carries
ALL_VECTORS = PARITY.parents[1].parent / "shared" / "reference"

#: the vectors of these stages run the renderer, which takes seconds a frame
SLOW_STAGES = frozenset({"keypoints", "render", "chain", "e2e"})


class ParityError(Exception):
    """A file of vectors, or the stage it names, cannot be used; the text says why."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `tolerance` is for `max_abs`; `ok` has the last word."""

    stage: str
    case: str
    field: str
    max_abs: float
    mean_abs: float
    tolerance: float
    ok: bool
    note: str = ""


class Vectors:
    """One file of vectors. Arrays stay NumPy arrays; 0-d ones come out as Python numbers, truths and strings."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        try:
            # opened here: numpy leaves a file open that is no zip
            with self.path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                self._entries = dict(_unpacked(name, file[name]) for name in file.files)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ParityError(f"{self.path} cannot be read as a file of vectors (npz): {error}") from error
        if "stage" not in self._entries:
            raise ParityError(f"{self.path.name} names no stage: expected an entry `stage` in {list(self._entries)}.")
        self.stage = str(self._entries["stage"])
        self._shared = {n.split("/")[1]: a for n, a in self._entries.items() if re.fullmatch(r"in/[^/]+", n)}
        cases = (n.split("/")[1] for n in self._entries if re.fullmatch(r"(in|out)/[^/]+/.+", n))
        self.cases = list(dict.fromkeys(cases))

    def inputs(self, case: str) -> dict[str, Any]:
        """What goes in: the shared inputs, and over them the case's own, references replaced by what they stand for."""
        own = {name: self._resolve(value) for name, value in self._under(f"in/{case}/").items()}
        return {name: _plain(value) for name, value in {**self._shared, **own}.items()}

    def outputs(self, case: str) -> dict[str, Any]:
        """What the original gave."""
        return {name: _plain(value) for name, value in self._under(f"out/{case}/").items()}

    def _under(self, prefix: str) -> dict[str, np.ndarray]:
        return {n[len(prefix) :]: a for n, a in self._entries.items() if n.startswith(prefix)}

    def _resolve(self, value: np.ndarray) -> np.ndarray:
        reference = re.fullmatch(r"@(\w+)(?:\[:(\d+)\])?", str(value)) if value.dtype.kind == "U" else None
        if reference is None:
            return value
        name, rows = reference.groups()
        if name not in self._shared:
            raise ParityError(f"{self.path.name} refers to {value}, but its shared inputs are {list(self._shared)}.")
        return self._shared[name][: int(rows)] if rows else self._shared[name]


def _unpacked(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
    if not name.endswith(".png"):
        return name, value
    return name.removesuffix(".png"), np.array(Image.open(io.BytesIO(value.tobytes())))


def _plain(value: np.ndarray) -> Any:
    return value.item() if value.ndim == 0 else value


def _numbers(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.double() if value.is_floating_point() else value
        value = value.numpy()
    return np.asarray(value).astype(np.float64)


def spread(want: Any, share: float = 1e-4) -> float:
    """The tolerance that is `share` of the standard deviation of what is wanted (of its size, where it is constant)."""
    numbers = _numbers(want)
    return share * float(numbers.std() or np.abs(numbers).max() or 1.0)


def compare(
    stage: str,
    case: str,
    field: str,
    got: Any,
    want: Any,
    max_tol: float,
    mean_tol: float | None = None,
    note: str = "",
) -> Row:
    """got and want: tensors, arrays or numbers of one shape. In, when no number differs by more than `max_tol`, and
    all together by no more than `mean_tol` on average; NaN is never in. Frames of bytes: max_tol 1, mean_tol 0.01.
    """
    got, want = _numbers(got), _numbers(want)
    if got.shape != want.shape:
        note = f"{note} shape {got.shape}, wanted {want.shape}".strip()
        return Row(stage, case, field, float("inf"), float("inf"), max_tol, False, note)
    distance = np.where(got == want, 0.0, np.abs(got - want))  # infinities that agree are no distance apart
    max_abs, mean_abs = (float(distance.max()), float(distance.mean())) if distance.size else (0.0, 0.0)
    ok = max_abs <= max_tol and (mean_tol is None or mean_abs <= mean_tol)
    return Row(stage, case, field, max_abs, mean_abs, max_tol, ok, note)


def fixed(
    stage: str,
    case: str,
    field: str,
    reason: str,
    got: Any,
    independent: Any,
    max_tol: float = 0.0,
    mean_tol: float | None = None,
) -> Row:
    """A row where the original is wrong and we are not: `got` is held against an independent calculation instead.

    Recognise such a case from its inputs, never from its name. The note says `fixed: reason`.
    """
    return compare(stage, case, field, got, independent, max_tol, mean_tol, f"fixed: {reason}")


def thinned(outputs: dict[str, Any], field: str) -> tuple[Any, int]:
    """The stored array of a field and its step: a field stored as `<field>_dsN` keeps every N-th element along each
    spatial axis. The step is 1 where the field is stored whole.
    """
    if field in outputs:
        return outputs[field], 1
    for name, value in outputs.items():
        match = re.fullmatch(re.escape(field) + r"_ds(\d+)", name)
        if match:
            return value, int(match.group(1))
    raise ParityError(f"no output is called {field} or {field}_dsN; there are {list(outputs)}.")


def thin(values: Any, step: int) -> Any:
    """Every step-th row and column of images (…, H, W, 3), or of whatever else ends in (…, H, W)."""
    return values[..., ::step, ::step, :] if values.shape[-1] == 3 else values[..., ::step, ::step]


def compare_stored(
    stage: str,
    case: str,
    field: str,
    got: Any,
    outputs: dict[str, Any],
    max_tol: float,
    mean_tol: float | None = None,
    note: str = "",
) -> Row:
    """`compare` for images, which may be stored whole or thinned out as `<field>_dsN`."""
    want, step = thinned(outputs, field)
    return compare(stage, case, field, thin(got, step), want, max_tol, mean_tol, note)


@functools.cache
def rule_net(name: str, seed: int):
    """Our network of that name (the prefix of its tensor names: "expnet", "generator", ...), filled with the rule-made
    weights of `seed` through the key tables; in eval mode, float32, without gradients. Only its own tensors are made.
    """
    from sadtalker_core import model

    from . import rule

    return model.load_weights(model.build_released(name), rule.our_tensors(name, seed), f"rule-made {name}")


@functools.cache
def fast_generator(seed: int):
    """The rule-made generator of `seed` arranged for speed, as the nodes use it."""
    from sadtalker_core.render.facevid2vid.fast import accelerate

    return accelerate(rule_net("generator", seed))


def stage_module(stage: str) -> ModuleType:
    """The module that checks a stage."""
    modules = sorted(path.stem for path in (PARITY / "stages").glob("*.py") if path.stem != "__init__")
    if stage not in modules:
        raise ParityError(f"nothing here checks the stage {stage!r}; tests/parity/stages has {modules}.")
    return importlib.import_module(f"tests.parity.stages.{stage}")


def check_file(path: Path | str, seed: int = 0) -> Iterator[Row]:
    """Walk one file of vectors. A file without a case, or a stage without a row, is an error: it proved nothing."""
    vectors = Vectors(path)
    if not vectors.cases:
        raise ParityError(f"{vectors.path.name} holds no case.")
    n_rows = 0
    for row in stage_module(vectors.stage).check(vectors, seed):
        n_rows += 1
        yield row
    if not n_rows:
        raise ParityError(f"the check of the stage {vectors.stage!r} compared nothing in {vectors.path.name}.")


def vector_files(folder: Path | str) -> list[Path]:
    """The files of vectors in a folder, by name."""
    files = sorted(Path(folder).glob("*.npz"))
    if not files:
        raise ParityError(f"{folder} holds no file of vectors (*.npz).")
    return files


def default_folder() -> Path:
    """All vectors where they lie beside the project, else the project's own trimmed copy."""
    return ALL_VECTORS if any(ALL_VECTORS.glob("*.npz")) else OWN_VECTORS
