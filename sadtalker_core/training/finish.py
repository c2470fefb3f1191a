"""The start and end of every training of the method: the data is summarised, the result exported and reported."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ..errors import CheckpointMissing
from ..model import SadTalkerModel
from .clips import Clip
from .engine import train
from .export import Ends, export
from .held_out import Split
from .report import closing_table, write_report
from .states import BEST, BEST_FILE, HELD_OUT, LAST, load_state
from .summary import SpeakerSummary, summarise, table, warnings_of
from .trainer import Run, Trainer


def train_and_export(
    trainer: Trainer,
    run: Run,
    ends: Ends,
    base: SadTalkerModel | None,
    nets: Mapping[str, nn.Module],
    split: Split,
    *,
    styles: Mapping[str, int] | None = None,
    carried: Mapping[str, nn.Module] | None = None,
    hint: str = "",
) -> None:
    """Train, print the closing table, write the report and export; or only export, where `ends.only` asks for a state.

    base: whose file the networks go into, None where nothing is exported;  nets: those of the trainer that are
    exported
    styles: {speaker: pose_style};  carried: other networks to export along;  hint: what to do with the file
    Raises what `train` and `export` raise, an unusable --export before the work begins.
    """
    trainer.settings = {**trainer.settings, HELD_OUT: split.record}
    target = ends.export
    if target is not None:
        ends.require_export()
    export_state = partial(_export, trainer, run, base, target, {**nets, **(carried or {})}, styles, hint)
    if ends.only is not None:
        export_state(ends.only)
        return
    speakers = _print_data(split, os.environ.get("LOCAL_RANK", "0") == "0")
    if not train(trainer, run):
        return
    closing = closing_table(run.folder)
    if closing:
        print(closing)
    named = "" if styles is None else f"pose_style: {json.dumps(dict(styles), ensure_ascii=True)}"
    page = write_report(
        run.folder,
        title=f"Training of {', '.join(nets)}: {run.folder.name}",
        steps=run.steps,
        speakers=speakers,
        notes=[split.in_words, named] if named else [split.in_words],
    )
    print(f"{page}: curves, videos and what to do next")
    if target is not None:
        export_state(None)


def _print_data(split: Split, aloud: bool) -> list[SpeakerSummary]:
    """Prints the data by speaker, and warnings, before the work begins."""
    clips: Sequence[Clip] = [*split.learnt, *split.held_out]
    folder = clips[0].file.parent if clips else None
    speakers = summarise(clips, folder)
    if aloud:
        print(table(speakers), split.in_words, *(f"Warning: {text}" for text in warnings_of(speakers)), sep="\n",
              file=sys.stderr)  # fmt: skip
    return speakers


def _export(
    trainer: Trainer,
    run: Run,
    base: SadTalkerModel | None,
    target: Path | None,
    nets: Mapping[str, nn.Module],
    styles: Mapping[str, int] | None,
    hint: str,
    asked: str | None,
) -> None:
    """Write a state of the run to `target`.  asked: "best" or "last"; None is the best where there is one"""
    assert base is not None and target is not None
    which = asked or (BEST if (run.folder / BEST_FILE).exists() else LAST)
    step = "as it began"
    try:
        step = f"step {load_state(trainer.nets, run.folder, which)['step']}"
    except CheckpointMissing:
        if asked is not None:
            raise
    with (
        torch.no_grad(),
        nullcontext() if which == BEST else trainer.in_final_form(),
    ):  # the best was saved as it was validated
        file = export(target, base, nets)
    named = f" styles {json.dumps(dict(styles), ensure_ascii=True)}" if styles is not None else ""
    print(f"{file}:{named} ({which} state, {step})" + (f": {hint}" if hint else ""))


__all__ = ["train_and_export"]
