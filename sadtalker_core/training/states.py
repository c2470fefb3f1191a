"""The state of a run as files in its folder; written and read by the loop (engine.py), read by the exports.

    state.pt     the last one: networks, their running averages, optimizers, the step, and the validation so far
    state_1.pt, state_2.pt   the two before it, in case the last one is damaged
    best.pt      the networks (averaged ones where there are any) with the least held-out error
    run.json     the settings of the run; a run with others is refused in this folder

Each file is complete or absent, whenever the program is killed.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, OptionError, shorten
from ..saving import atomic_write

STATE_FILE, BEST_FILE, SETTINGS_FILE = "state.pt", "best.pt", "run.json"
EARLIER_FILES = ("state_1.pt", "state_2.pt")
#: the states that --export may name
LAST, BEST = "last", "best"
#: of run.json: for how many steps the run was planned at first, which schedules go by; and what it holds out
PLANNED, HELD_OUT = "planned_steps", "held_out"
#: these may change: more steps may be taken, and clips may be added
_MAY_CHANGE = (PLANNED,)
_UNREADABLE = (RuntimeError, ValueError, KeyError, EOFError, OSError, AttributeError, pickle.UnpicklingError)


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the last state; the ones before it are kept (EARLIER_FILES). Raises DoesNotFit when the disk is full."""
    with atomic_write(folder / STATE_FILE) as unfinished:
        _write(unfinished, state)
        last, before, first = (folder / name for name in (STATE_FILE, *EARLIER_FILES))
        if last.exists():
            if before.exists():
                before.replace(first)
            _link_or_copy(last, before)


def save_best(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the best state (nets, step, figures) in place of the one before. Raises DoesNotFit."""
    with atomic_write(folder / BEST_FILE) as unfinished:
        _write(unfinished, state)


def read_state(folder: Path) -> dict[str, Any]:
    """The newest state that can be read, with a warning in the log when that is not the last one.

    Raises CheckpointMissing where there is none, CheckpointDamaged where none can be read.
    """
    candidates = [folder / name for name in (STATE_FILE, *EARLIER_FILES) if (folder / name).is_file()]
    if not candidates:
        raise CheckpointMissing(
            f"{folder} holds no run: there is no {STATE_FILE} in it. Train first, or name another folder."
        )
    why = ""
    for file in candidates:
        try:
            state = read_state_file(file)
        except CheckpointDamaged as error:
            why = why or str(error)
            continue
        if why:
            logging.warning("%s The run goes on from step %d of %s.", why, state["step"], file.name)
        return state
    raise CheckpointDamaged(f"{why} The states before it cannot be read either: begin anew in another folder.")


def read_best(folder: Path) -> dict[str, Any]:
    """Raises CheckpointMissing where nothing was held out, or nothing was looked at yet, and CheckpointDamaged."""
    if not (folder / BEST_FILE).is_file():
        raise CheckpointMissing(
            f"{folder} has no best state: nothing was held out, or it was not validated yet. Use the {LAST} one."
        )
    return read_state_file(folder / BEST_FILE)


def load_nets(nets: Mapping[str, nn.Module], tensors: Mapping[str, Mapping[str, Tensor]], folder: Path) -> None:
    """Raises CheckpointMismatch for a state of other networks, such as one of an older version."""
    for name, net in nets.items():
        try:
            net.load_state_dict(tensors[name])
        except (RuntimeError, KeyError) as error:
            reason = shorten(" ".join(str(error).split()), 160)
            raise CheckpointMismatch(
                f"the state in {folder} is not of these networks ({name}: {reason}). It was made by another version or "
                f"with another --config: name another folder with --out."
            ) from error


def load_state(nets: Mapping[str, nn.Module], folder: Path, which: str) -> dict[str, Any]:
    """The networks as the run's best or last state has them (averaged where it keeps averages), in eval mode.

    nets: {name: net}, filled in place -> "step", and "figures" of the best.
    Raises CheckpointMissing, CheckpointDamaged or CheckpointMismatch.
    """
    state = read_best(folder) if which == BEST else read_state(folder)
    load_nets(nets, {**state["nets"], **state.get("averages", {})}, folder)
    for net in nets.values():
        net.eval()
    return {"step": state["step"], "figures": state.get("figures", {})}


def read_settings(folder: Path) -> dict[str, Any]:
    """run.json, {} where there is none. Raises CheckpointDamaged."""
    file = folder / SETTINGS_FILE
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointDamaged(f"{file} cannot be read ({error}): name another folder with --out.") from error


def settle(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write run.json, or compare with the one that is there -> its settings. Raises OptionError naming the
    difference.
    """
    file, wanted = folder / SETTINGS_FILE, json.loads(json.dumps(settings))
    stored = read_settings(folder)
    if not stored:
        with atomic_write(file) as unfinished:
            unfinished.write_text(json.dumps(wanted, indent=1, sort_keys=True), encoding="utf-8")
        return dict(wanted)
    old, new = (_leaves({k: v for k, v in one.items() if k not in _MAY_CHANGE}) for one in (stored, wanted))
    other = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if other:
        name = other[0]
        raise OptionError(
            f"{folder} holds a run with {name} = {shorten(repr(old.get(name)), 80)}, and this one has "
            f"{shorten(repr(new.get(name)), 80)}. Name another folder with --out, or give the same."
        )
    return stored


def _leaves(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """{"training.net.width": 8}"""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _leaves(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return flat


def _write(file: Path, state: Mapping[str, Any]) -> None:
    with file.open("wb") as out:  # torch.save of a path does not report a full disk
        torch.save(dict(state), out)


def read_state_file(file: Path) -> dict[str, Any]:
    """nets, step and what else one file of a run holds. Raises CheckpointDamaged."""
    try:
        state = torch.serialization.load(file, map_location="cpu", weights_only=True)
        state["nets"], state["step"]  # noqa: B018 (whether they are there)
    except _UNREADABLE as error:
        reason = shorten(" ".join(str(error).split()), 120)
        raise CheckpointDamaged(
            f"{file.name} in {file.parent} is damaged, or of another version ({reason or type(error).__name__})."
        ) from error
    return dict(state)


def _link_or_copy(file: Path, other: Path) -> None:
    """Give the file a second name, which must be free; a copy on a disk without hard links."""
    try:
        os.link(file, other)
    except OSError:
        with atomic_write(other) as unfinished:
            shutil.copyfile(file, unfinished)


__all__ = [
    "BEST",
    "LAST",
    "load_nets",
    "load_state",
    "read_best",
    "read_settings",
    "read_state",
    "read_state_file",
    "save_best",
    "save_state",
    "settle",
]
