"""The training loop: killed and taken up again, in two processes, and refusing what it cannot go on with."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import Linear

from sadtalker_core.errors import CheckpointMissing, InputError, OptionError
from sadtalker_core.training import engine
from sadtalker_core.training.engine import saved_nets, step_generator, steps_done, train, trained
from sadtalker_core.training.run_log import read_log
from sadtalker_core.training.run_options import command
from tests.training.two_players import TwoPlayers, run_of


def start(project, *arguments):
    """The training in a process of its own."""
    command = [sys.executable, "-m", "tests.training.two_players", *map(str, arguments)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)


def losses(folder):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in read_log(folder)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    trainer = TwoPlayers()
    assert train(trainer, run_of(folder))
    return folder, trainer


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_exactly_the_same_losses_and_weights(unbroken, project, tmp_path):
    folder = tmp_path / "run"
    for at in (17, 31):
        died = start(project, folder, "--die-at", at)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert steps_done(folder) == at // 10 * 10
    done = start(project, folder)
    assert done.returncode == 0, done.stderr
    assert losses(folder) == losses(unbroken[0])
    for name, tensors in saved_nets(unbroken[0]).items():
        for path, tensor in tensors.items():
            assert torch.equal(saved_nets(folder)[name][path], tensor), f"{name}.{path}"


def test_a_finished_run_clears_away_what_a_kill_left_of_its_last_state(unbroken, project, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(unbroken[0], folder)
    dies = "import os, sys; from pathlib import Path; from sadtalker_core.claims import claim_path; "
    dies += "claim_path(Path(sys.argv[1])).__enter__().part('whole').touch(); os._exit(0)"
    subprocess.run([sys.executable, "-c", dies, str(folder / "state.pt")], cwd=project, check=True)
    assert len(list(folder.glob("*.part"))) == 2
    for part in folder.glob("*.part"):
        os.utime(part, (0, 0))
    assert train(TwoPlayers(), run_of(folder))
    assert not list(folder.glob("*.part"))


@pytest.mark.slow
def test_two_processes_draw_other_numbers_and_take_the_mean_of_their_gradients(project, tmp_path):
    """The same as a plain loop in one process that runs both and averages the gradients."""
    done = start(project, tmp_path / "run", "--processes", 2)
    assert done.returncode == 0, done.stderr
    one, other = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one["drawn"][0] != other["drawn"][0] and len(one["drawn"]) == len(other["drawn"]) == 40
    assert one["weights"] == other["weights"] and one["mean"] == other["mean"]

    both = [TwoPlayers(), TwoPlayers()]

    def descend_together(name, pair):
        for trainer, loss in zip(both, pair, strict=True):
            trainer.optimizers[name].zero_grad(set_to_none=True)
            loss.backward()
        mine, theirs = ([p for g in t.optimizers[name].param_groups for p in g["params"]] for t in both)
        for p, q in zip(mine, theirs, strict=True):
            p.grad = q.grad = (p.grad + q.grad) / 2
        for trainer, parameters in zip(both, (mine, theirs), strict=True):
            if name == "maker":
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                trainer.optimizers[name].param_groups[0]["lr"] = trainer.learning_rates(step)["maker"]
            trainer.optimizers[name].step()

    for step in range(40):
        numbers = [torch.randn(4, 2, generator=step_generator(0, step, rank)) for rank in (0, 1)]
        made = [t.maker(x) for t, x in zip(both, numbers, strict=True)]
        descend_together(
            "maker",
            [
                (m - x / 2).square().mean() - 0.01 * t.critic(m).mean()
                for t, m, x in zip(both, made, numbers, strict=True)
            ],
        )
        if step % 2 == 0:
            descend_together(
                "critic",
                [
                    (t.critic(m.detach()) - t.critic(x / 2)).mean().square()
                    for t, m, x in zip(both, made, numbers, strict=True)
                ],
            )
    for weights, parameter in zip(one["weights"], both[0].maker.parameters(), strict=True):
        np.testing.assert_allclose(weights, parameter.tolist(), rtol=1e-4, atol=1e-6)


def test_the_log_has_the_mean_of_each_loss_since_the_line_before(unbroken):
    lines = losses(unbroken[0])
    assert [line["step"] for line in lines] == list(range(5, 41, 5))
    assert all(set(line) == {"step", "error", "fooled", "told apart"} for line in lines)


def test_the_folder_holds_scalars_and_images_for_tensorboard(unbroken):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(unbroken[0] / "tensorboard")).Reload()
    assert set(board.Tags()["scalars"]) == {"error", "fooled", "told apart"}
    assert [event.step for event in board.Scalars("error")] == list(range(5, 41, 5))
    assert [event.step for event in board.Images("black")] == [40]


def test_on_a_terminal_a_bar_counts_the_steps_also_those_of_an_earlier_run(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for steps in (3, 7):
        monkeypatch.setattr(sys, "stderr", Terminal())
        train(TwoPlayers(), run_of(tmp_path / "run", steps=steps))
        bar = sys.stderr.getvalue()
        assert "100%" in bar and f"| {steps}/{steps} [" in bar
    assert "| 3/7 [" in bar


def test_a_finished_run_is_taken_up_and_left_as_it_is_and_more_steps_go_on(unbroken, tmp_path):
    folder = tmp_path / "run"
    train(TwoPlayers(), run_of(folder, steps=20))
    again = TwoPlayers()
    train(again, run_of(folder, steps=20))
    assert again.drawn == [] and not again.maker.training
    train(TwoPlayers(), run_of(folder, steps=40))
    assert losses(folder) == losses(unbroken[0])


def test_randomness_depends_on_seed_step_and_process_and_on_nothing_else():
    def draw(*which):
        return torch.rand(4, generator=step_generator(*which)).tolist()

    assert len({tuple(draw(*which)) for which in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1))}) == 5
    torch.manual_seed(5)
    assert draw(0, 7, 1) == draw(0, 7, 1)


def test_a_run_leaves_global_random_states_alone(tmp_path):
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    train(TwoPlayers(), run_of(tmp_path / "run", steps=3))
    assert torch.equal(torch.rand(3), wanted)


def test_a_folder_with_another_run_is_refused(tmp_path):
    train(TwoPlayers(), run_of(tmp_path / "run", steps=2))
    with pytest.raises(OptionError, match="holds a run with batch = 4, and this one has 8"):
        train(TwoPlayers(), run_of(tmp_path / "run", steps=2, batch=8))


def test_the_one_setting_that_differs_is_named(tmp_path):
    narrow, wide = TwoPlayers(), TwoPlayers()
    narrow.settings, wide.settings = ({"training": {"rate": 1.0, "net": {"width": width}}} for width in (8, 16))
    train(narrow, run_of(tmp_path / "run", steps=2))
    with pytest.raises(OptionError, match=r"a run with training\.net\.width = 8, and this one has 16"):
        train(wide, run_of(tmp_path / "run", steps=2))


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(tmp_path):
    with pytest.raises(InputError, match="the loss 'error' is no number any more"):
        train(TwoPlayers(sour_at=12), run_of(tmp_path / "run", steps=20))
    assert steps_done(tmp_path / "run") == 10
    assert all(tensor.isfinite().all() for net in saved_nets(tmp_path / "run").values() for tensor in net.values())


def test_a_folder_without_a_run_reports_it(tmp_path):
    with pytest.raises(CheckpointMissing, match="holds no run"):
        trained(Linear(1, 1), tmp_path, "maker")


def test_a_precision_that_is_not_offered_is_refused(tmp_path):
    with pytest.raises(OptionError, match="32-true or bf16-mixed, got '16-mixed'"):
        train(TwoPlayers(), run_of(tmp_path / "run", precision="16-mixed"))


def test_without_lightning_the_sentence_explains_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(OptionError, match=r"pip install \.\[train\]"):
        engine.train(TwoPlayers(), run_of(tmp_path / "run"))


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(OptionError("expected two, got three."), 2, "expected two, got three.\n"),
     (KeyboardInterrupt(), 130, "Stopped. The same command resumes the run.\n")],
)  # fmt: skip
def test_on_the_command_line_a_refusal_is_a_sentence(capsys, error, status, message):
    def program():
        raise error

    with pytest.raises(SystemExit) as ended:
        command(program)
    assert ended.value.code == status and capsys.readouterr().err == message


def test_the_scale_multiplies_the_rates_of_the_config_and_belongs_to_the_settings(tmp_path):
    trainer = TwoPlayers()
    train(trainer, run_of(tmp_path / "run", steps=1, rate_scale=0.5))
    (maker,), (critic,) = (trainer.optimizers[name].param_groups for name in ("maker", "critic"))
    assert (maker["lr"], critic["lr"]) == (0.01, 0.005)
    with pytest.raises(OptionError, match="rate_scale = 0.5, and this one has 1.0"):
        train(TwoPlayers(), run_of(tmp_path / "run", steps=1))
