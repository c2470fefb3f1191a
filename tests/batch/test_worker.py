"""What one process does: networks where they shall compute, and pieces that make a whole. With tiny networks, without
Ray.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from sadtalker_core.batch.worker import WORK_FOLDER, JobPayload, Worker
from sadtalker_core.datatypes import RELEASED, Portrait
from sadtalker_core.device import to_device
from sadtalker_core.families import FAMILIES
from sadtalker_core.model import SadTalkerModel
from sadtalker_core.options import Options
from sadtalker_core.render.facevid2vid.generator import Generator
from tests.batch.conftest import write_voice
from tests.decoded import decoded
from tests.face.images import astronaut
from tests.render import tiny
from tests.tolerances import ARRANGEMENTS

CPU = torch.device("cpu")


def released() -> SadTalkerModel:
    nets = {"keypoint_detector": tiny.keypoint_detector(), "generator": tiny.generator()}
    return SadTalkerModel("tiny", FAMILIES[RELEASED], tiny.SIDE, nets)


@pytest.mark.parametrize(("precision", "painted"), [("auto", torch.float32), ("bf16", torch.bfloat16)])
def test_the_painting_net_is_fast_and_in_the_requested_precision_and_the_others_stay(precision, painted):
    nets = to_device(released(), CPU, precision).nets
    assert not isinstance(nets["generator"], Generator)
    assert painted in {parameter.dtype for parameter in nets["generator"].parameters()}
    assert {parameter.dtype for parameter in nets["keypoint_detector"].parameters()} == {torch.float32}


def test_pieces_of_a_motion_give_the_frames_of_the_whole():
    options, motion = Options(model="tiny"), tiny.motion(7)
    worker = Worker()
    worker._model, worker._loaded = to_device(released(), CPU, "fp32"), (options.model, options.precision)
    portrait = Portrait(torch.zeros(64, 64, 3), crop=tiny.crop())

    def heads(start: int, stop: int) -> np.ndarray:
        return worker.do("heads", options, portrait, replace(motion, driving=motion.driving[start:stop])).value

    whole = heads(0, 7)
    assert whole.shape[:2] == (7, 3) and len(np.unique(whole[:, 0, 0, 0])) > 1
    np.testing.assert_array_equal(np.concatenate([heads(0, 3), heads(3, 6), heads(6, 7)]), whole)


def test_pieces_of_a_cut_out_bring_its_alpha_where_the_video_needs_it():
    worker, motion = Worker(), tiny.motion(3)
    alpha = tiny.uniform(1, tiny.SIDE, tiny.SIDE, seed=6)
    portrait = Portrait(torch.zeros(64, 64, 3), crop=replace(tiny.crop(), alpha=alpha))

    def heads(**changes) -> np.ndarray:
        options = Options(model="tiny", **changes)
        worker._model, worker._loaded = to_device(released(), CPU, "fp32"), (options.model, options.precision)
        return worker.do("heads", options, portrait, motion).value

    opaque, transparent, laid = heads(), heads(format="webm"), heads(background="white")
    assert [len(frames[0]) for frames in (opaque, transparent, laid)] == [3, 4, 4]
    np.testing.assert_array_equal(transparent[:, :3], opaque)


def test_a_worker_goes_on_in_smaller_batches_where_memory_runs_out(monkeypatch):
    worker, options = Worker(batch_size=4), Options(model="tiny")
    worker._model, worker._loaded = to_device(released(), CPU, "fp32"), (options.model, options.precision)
    portrait, motion = Portrait(torch.zeros(64, 64, 3), crop=tiny.crop()), tiny.motion(5)
    whole = worker.do("heads", options, portrait, motion).value
    tried = tiny.cramp(monkeypatch, worker._model.nets["generator"], room=1)
    frames = worker.do("heads", options, portrait, motion).value
    assert tried == [4, 2, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(frames, whole, rtol=0, atol=ARRANGEMENTS)


def test_nets_are_loaded_once_and_exchanged_when_another_model_is_requested(monkeypatch):
    loaded = []
    monkeypatch.setattr("sadtalker_core.batch.worker.load_model", lambda *asked: loaded.append(asked) or released())
    worker = Worker(("models",))
    for model in ("one", "one", "two"):
        worker._networks(Options(model=model))
    assert loaded == [("one", ("models",)), ("two", ("models",))]


def test_a_worker_that_begins_sweeps_up_after_one_that_was_killed(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{WORK_FOLDER}left"
    left.mkdir()
    (left / "lock").touch()
    (left / "film.mp4.part").write_bytes(b"half")
    Worker().ping()
    assert not left.exists() and str(left) in caplog.text


@pytest.mark.slow
def test_a_job_with_speakers_becomes_one_video_of_the_whole_image(tmp_path):
    from PIL import Image

    face = astronaut()[:300, 60:400]
    Image.fromarray((torch.cat([face, face.flip(1)], dim=1) * 255).byte().numpy()).save(tmp_path / "two.png")
    voice = write_voice(tmp_path / "voice.wav", 0.12).read_bytes()
    options = Options(render_size=256, quality="draft")
    payload = JobPayload((tmp_path / "two.png").read_bytes(), voice, options, "0-0.06 anna\n0.06-0.12 ben")
    video, n_frames = Worker().do("run_job", payload).value
    (tmp_path / "film.mp4").write_bytes(video)
    frames, fps = decoded(tmp_path / "film.mp4")
    assert frames.shape == (n_frames, 300, 680, 3) and (n_frames, fps) == (3, 25)
