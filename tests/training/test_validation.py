"""What is held out decides: the best state is kept, a run that gets no better ends, and nothing is lost."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import Linear

from sadtalker_core.errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, InputError, OptionError
from sadtalker_core.training import states
from sadtalker_core.training.engine import seeded, steps_done, train
from sadtalker_core.training.measures import HELD_OUT_ERROR, SEED_SPREAD, collapse_remark
from sadtalker_core.training.report import closing_table, what_next, write_report
from sadtalker_core.training.run_log import read_log
from sadtalker_core.training.run_options import command
from sadtalker_core.training.states import BEST, LAST, load_state
from sadtalker_core.training.trainer import Run, SampleVideo, Trainer


class Counting(Trainer):
    """Its weight is the number of steps; what is held out is met best when the weight is `best_at`."""

    validation_metric = HELD_OUT_ERROR

    def __init__(self, best_at: float = 12, spread: float = 1.0, sour_at: int = -1, averaged: bool = False):
        with seeded(0):
            self.net = Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.net.weight)
        self.nets, self.best_at, self.spread, self.sour_at = {"net": self.net}, best_at, spread, sour_at
        self.optimizers = {"net": torch.optim.SGD(self.net.parameters(), 1.0)}
        self.averaged = ("net",) if averaged else ()
        self.sampled: list[float] = []

    def step(self, context):
        loss = -self.net.weight.sum()
        context.backward_and_step("net", loss)
        return {"loss": loss * (float("nan") if context.index == self.sour_at else 1)}

    def validate(self):
        assert not self.net.training and not torch.is_grad_enabled()
        self.sampled.append(self.net.weight.item())
        return {HELD_OUT_ERROR: 0.5 + abs(self.net.weight.item() - self.best_at) / 100, SEED_SPREAD: self.spread}

    def remarks(self, figures):
        return collapse_remark(figures)

    def sample_video(self, folder: Path, step: int) -> SampleVideo:
        folder.mkdir(exist_ok=True)
        (folder / f"step_{step:07}.mp4").touch()
        return SampleVideo(folder / "x", np.zeros((3, 16, 16, 3), np.uint8), 8.0, torch.zeros(16_000))


def run_of(folder: Path, steps: int = 40, **how) -> Run:
    how = {"save_every": 5, "report_every": 10, "validate_every": 4, "batch": 1, **how}
    return Run(folder, steps, accelerator="cpu", devices=1, **how)


def weight(folder: Path, which: str) -> float:
    net = Linear(1, 1, bias=False)
    load_state({"net": net}, folder, which)
    return net.weight.item()


def test_the_best_state_is_kept_beside_the_last_three(tmp_path):
    train(Counting(), run_of(tmp_path))
    assert (weight(tmp_path, BEST), weight(tmp_path, LAST)) == (12.0, 40.0)
    held = [line for line in read_log(tmp_path) if HELD_OUT_ERROR in line]
    assert [line["step"] for line in held] == [*range(0, 41, 4)]
    assert states.read_best(tmp_path)["figures"][HELD_OUT_ERROR] <= 1.02 * min(line[HELD_OUT_ERROR] for line in held)
    kept = [states.read_state_file(tmp_path / name)["step"] for name in ("state.pt", "state_1.pt", "state_2.pt")]
    assert kept == [40, 35, 30]


def test_a_run_that_gets_no_better_ends_and_states_where_it_was_best(tmp_path, capsys):
    train(Counting(), run_of(tmp_path, patience=3))
    assert steps_done(tmp_path) == 24 and weight(tmp_path, BEST) == 12.0
    assert "stopped at step 24: held-out error was least at step 12" in capsys.readouterr().err
    again = Counting()
    train(again, run_of(tmp_path, patience=3))
    assert again.sampled == [] and steps_done(tmp_path) == 24
    train(Counting(), run_of(tmp_path, patience=0))  # who wants to go on may
    assert steps_done(tmp_path) == 40 and weight(tmp_path, BEST) == 12.0


def test_a_kill_between_two_validations_changes_neither_the_best_nor_the_end(tmp_path):
    class Killed(BaseException):
        pass

    killed = Counting()
    step = killed.step

    def until(context):
        if context.index == 18:
            raise Killed
        return step(context)

    killed.step = until
    with pytest.raises(Killed):
        train(killed, run_of(tmp_path / "killed", patience=3))
    for name in ("killed", "whole"):
        train(Counting(), run_of(tmp_path / name, patience=3))
    one, other = ([{**line, "seconds": 0} for line in read_log(tmp_path / name)] for name in ("killed", "whole"))
    assert one == other and weight(tmp_path / "killed", BEST) == 12.0


def test_what_is_validated_and_kept_is_the_average_where_one_is_kept(tmp_path):
    trainer = Counting(best_at=99, averaged=True)
    train(trainer, run_of(tmp_path, steps=8))
    mean, means = 0.0, []
    for step in range(8):
        share = min(0.999, (1 + step) / (10 + step))
        mean = share * mean + (1 - share) * (step + 1)
        means.append(mean)
    assert trainer.sampled == pytest.approx([0.0, means[3], means[7]], rel=1e-5)
    assert weight(tmp_path, BEST) == weight(tmp_path, LAST) == pytest.approx(means[7], rel=1e-5)
    assert trainer.net.weight.item() == 8.0 and states.read_state(tmp_path)["nets"]["net"]["weight"].item() == 8.0
    train(Counting(best_at=99, averaged=True), run_of(tmp_path / "parts", steps=4))
    train(Counting(best_at=99, averaged=True), run_of(tmp_path / "parts", steps=8))
    assert weight(tmp_path / "parts", LAST) == pytest.approx(means[7], rel=1e-6)


def test_a_seed_that_does_nothing_is_reported_once(tmp_path, capsys):
    train(Counting(spread=0.02), run_of(tmp_path))
    assert capsys.readouterr().err.count("the seed does nothing: two draws differ by 0.020") == 1
    assert [line["step"] for line in read_log(tmp_path) if "remark" in line] == [12]


def test_figures_and_videos_are_on_the_board(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Counting(spread=0.02), run_of(tmp_path, videos_every=20))
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars(HELD_OUT_ERROR)] == [*range(0, 41, 4)]
    assert [event.step for event in board.Images("video")] == [20, 40]
    assert board.Images("video")[0].encoded_image_string.startswith(b"GIF8")
    assert [event.sample_rate for event in board.Audio("audio")] == [16_000, 16_000]
    assert [file.name for file in sorted((tmp_path / "videos").iterdir())] == ["step_0000020.mp4", "step_0000040.mp4"]


def test_the_closing_table_and_the_report_state_what_came_of_it(tmp_path):
    train(Counting(), run_of(tmp_path, videos_every=20))
    table = closing_table(tmp_path).splitlines()
    assert "best, step 12" in table[0] and table[1].split()[-3:] == ["0.620", "0.500", "0.780"]
    page = write_report(tmp_path, title="<a run>", steps=40, notes=["note & more"]).read_text(encoding="utf-8")
    for part in (
        "&lt;a run&gt;",
        "note &amp; more",
        "videos/step_0000020.mp4",
        "<polyline",
        "overfitted after step",
    ):
        assert part in page
    assert "<script" not in page and "http" not in page


@pytest.mark.parametrize(
    ("errors", "more", "message"),
    [
        ([1.0, 0.6, 0.5], {}, "Raise --steps above 9"),
        ([0.5, 0.7], {}, "No step improved"),
        ([1.0, 0.5, 0.8], {}, "overfitted after step 1"),
        ([1.0, 0.97], {}, "hardly better than no motion"),
        ([1.0, 0.5, 0.52], {SEED_SPREAD: 0.05}, "The seed does nothing"),
        ([1.0, 0.5, 0.52], {"mouth r": 0.2}, "hardly follows"),
        ([1.0, 0.5, 0.52], {"mouth lag in frames": 3.0}, "3 frames late"),
        ([1.0, 0.5, 0.52], {"motion drawn / real": 0.1}, "0.10 times as far"),
        ([1.0, 0.5, 0.52], {}, "Nothing stands out"),
        ([], {}, "Nothing was held out"),
    ],
)
def test_what_to_do_next_goes_by_the_figures(errors, more, message):
    log = [{"step": step, HELD_OUT_ERROR: error, **more} for step, error in enumerate(errors)]
    assert any(message in sentence for sentence in what_next(log, 9))


def test_a_larger_number_of_steps_keeps_the_plan_that_schedules_go_by(tmp_path, caplog):
    first, second = Counting(), Counting()
    train(first, run_of(tmp_path, steps=10))
    with caplog.at_level(logging.WARNING):
        train(second, run_of(tmp_path, steps=20))
    assert (first.steps, second.steps) == (10, 10) and steps_done(tmp_path) == 20
    assert "planned for 10 steps" in caplog.text


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_damaged_last_state_is_reported_and_the_one_before_it_goes_on(tmp_path, caplog):
    for name in ("whole", "hurt"):
        train(Counting(), run_of(tmp_path / name, steps=20))
    damage(tmp_path / "hurt" / "state.pt")
    with caplog.at_level(logging.WARNING):
        train(Counting(), run_of(tmp_path / "hurt", steps=20))
    assert "state.pt in" in caplog.text and "goes on from step 15 of state_1.pt" in caplog.text
    assert weight(tmp_path / "hurt", LAST) == 20.0
    one, other = ([{**line, "seconds": 0} for line in read_log(tmp_path / name)] for name in ("hurt", "whole"))
    assert one == other


def test_states_that_cannot_be_read_or_are_of_other_networks_are_sentences(tmp_path):
    train(Counting(), run_of(tmp_path, steps=8))
    with pytest.raises(CheckpointMismatch, match="not of these networks"):
        load_state({"net": Linear(2, 2)}, tmp_path, LAST)
    state = states.read_state_file(tmp_path / "state.pt")
    torch.save({"nets": state["nets"], "step": 8}, tmp_path / "state.pt")  # as an older version might have left it
    with pytest.raises(CheckpointMismatch, match="another version"):
        train(Counting(), run_of(tmp_path, steps=9))
    for name in ("state.pt", "state_1.pt", "best.pt"):
        (tmp_path / name).write_bytes(b"no state")
    with pytest.raises(CheckpointDamaged, match="states before it cannot be read either"):
        train(Counting(), run_of(tmp_path, steps=9))
    with pytest.raises(CheckpointDamaged, match=r"best\.pt in"):
        load_state({}, tmp_path, BEST)
    with pytest.raises(CheckpointMissing, match="has no best state"):
        load_state({}, tmp_path / "nowhere", BEST)


def test_a_loss_that_is_no_number_before_the_first_save_reports_that_nothing_was_saved(tmp_path):
    with pytest.raises(InputError, match="Nothing was saved before it"):
        train(Counting(sour_at=1), run_of(tmp_path))
    with pytest.raises(InputError, match="The last saved steps in .* are sound"):
        train(Counting(sour_at=7), run_of(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("steps", -5, "--steps of 0 or more, got -5"), ("report_every", 0, "--report-every of 1 or more, got 0"),
     ("save_every", 0, "--save-every"), ("batch", 0, "--batch"), ("validate_every", 0, "--validate-every"),
     ("patience", -1, "--patience"), ("rate_scale", 0.0, "--rate-scale above 0")],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_before_anything_begins(tmp_path, name, value, message):
    with pytest.raises(OptionError, match=message):
        run_of(tmp_path / "run", **{name: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", [{"accelerator": "cuda"}, {"accelerator": "gpus"}, {"devices": 0}, {"strategy": "dd"}])
def test_a_device_that_is_not_there_is_a_sentence(tmp_path, how, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = Run(tmp_path / "run", 3, **{"accelerator": "cpu", "devices": 1, **how})
    with pytest.raises(OptionError, match="is not available on this machine"):
        train(Counting(), run)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_a_sentence_on_the_command_line(tmp_path, capsys, monkeypatch):
    def full(state, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states.torch, "save", full)
    with pytest.raises(SystemExit) as ended:
        command(lambda: train(Counting(), run_of(tmp_path)))
    assert ended.value.code == 2 and "is full; free some space" in capsys.readouterr().err


def test_small_networks_are_trained_on_one_thread_and_as_many_as_asked(tmp_path, monkeypatch):
    seen = []

    class Looking(Counting):
        def step(self, context):
            seen.append(torch.get_num_threads())
            return super().step(context)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for name, threads in (("fit", 0), ("two", 2)):
            train(Looking(), run_of(tmp_path / name, steps=1, threads=threads))
        large = Looking()
        large.small = False
        train(large, run_of(tmp_path / "large", steps=1))
        assert seen == [1, 2, 3] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
