"""Both families pass through every stage on a second device, without mixing devices once, and make what the CPU makes.

The motion is made in float32 whatever paints, so it is the CPU's to the bit. Half precision is compared with the CPU's
float32; the bounds are twice of what was measured.
"""

from __future__ import annotations

import dataclasses
import gc
import logging

import imageio_ffmpeg
import pytest
import torch

from sadtalker_core import pipeline
from sadtalker_core.__main__ import main
from sadtalker_core.datatypes import Portrait
from sadtalker_core.motion import edit
from sadtalker_core.motion.silence import silence_gate
from tests.device import talking
from tests.device.talking import MINI, RELEASED
from tests.tolerances import ARRANGEMENTS
from tests.tools.second_device import DEVICE, memory, second_device
from tests.waves import write_wave

#: The mini's outline of the head is a threshold: a spot of it may fall to either side by rounding, which moved a pixel
#: by .0012 in fp16 and .0022 in bf16.
LEVEL = 1 / 255
#: at most, and on average, of images in 0..1; the narrow released model has noise for weights, which magnifies
APART = {
    (MINI, "fp32"): (ARRANGEMENTS, ARRANGEMENTS), (MINI, "fp16"): (LEVEL, 4e-6), (MINI, "bf16"): (LEVEL, 4e-5),
    (RELEASED, "fp32"): (ARRANGEMENTS, ARRANGEMENTS), (RELEASED, "fp16"): (4e-3, 5e-4),
    (RELEASED, "bf16"): (3e-2, 4e-3),
}  # fmt: skip
#: tables that are made once a process for each device (the mesh of the mini)
TABLES_BYTES = 200_000


@pytest.fixture(autouse=True)
def device():
    with second_device(), torch.no_grad():
        yield


def tensors_of(record) -> list[torch.Tensor]:
    """All tensors of a record and of the records in it."""
    values = [getattr(record, field.name) for field in dataclasses.fields(record)]
    inner = (t for value in values if dataclasses.is_dataclass(value) for t in tensors_of(value))
    return [*(value for value in values if isinstance(value, torch.Tensor)), *inner]


def on_the_device(model, models, precision="fp32", batch_size=2):
    return talking.load(model, models, device=DEVICE, precision=precision, batch_size=batch_size)


QUICK = [(MINI, "crop", False, "fp32"), (MINI, "full", True, "bf16"), (RELEASED, "crop", True, "fp32"),
         (RELEASED, "full", False, "fp16"), (RELEASED, "extfull", True, "bf16")]  # fmt: skip
ALL = [(model, mode, paste_back, precision) for model in (MINI, RELEASED)
       for mode, paste_back in (("crop", False), ("full", True)) for precision in ("fp32", "fp16", "bf16")]  # fmt: skip
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL if case not in QUICK)]


@pytest.mark.parametrize(("model", "crop_mode", "paste_back", "precision"), CASES)
def test_a_clip_is_the_cpus(model, crop_mode, paste_back, precision, models, on_the_cpu):
    want, want_motion = on_the_cpu(model, crop_mode, paste_back)
    video = talking.clip(on_the_device(model, models, precision), crop_mode, paste_back)
    parts = list(video.frames())
    assert all(part.device == DEVICE and part.dtype == torch.float32 for part in parts)
    got = torch.cat(parts).cpu()
    assert got.shape == want.shape and (want[1:] - want[:-1]).abs().amax() > 20 * ARRANGEMENTS, "somebody moves"
    most, average = APART[model, precision]
    assert (got - want).abs().max() < most and (got - want).abs().mean() < average
    for mine, theirs in zip(tensors_of(video.motion), tensors_of(want_motion), strict=True):
        assert mine.device.type == "cpu" and torch.equal(mine, theirs)


@pytest.mark.parametrize("model", [MINI, RELEASED])
def test_a_reference_tracks_previews_and_a_second_face(model, models):
    loaded = on_the_device(model, models)
    nets, image = loaded.networks, talking.portrait()
    portrait, source = pipeline.extract(nets, Portrait(image))
    clip = image.expand(4, -1, -1, -1)
    reference = pipeline.extract_video(nets, iter(clip), 25.0)
    speech = pipeline.encode_audio(*talking.VOICE)
    lent = pipeline.predict_expression(nets, speech, source, reference=reference)
    played = pipeline.predict_expression(nets, speech, source, reference=reference, reference_mode="all")
    pose = pipeline.predict_head_pose(nets, speech, source, reference=reference)
    expression = silence_gate(edit.blend(lent, played, 0.5), speech, source)
    motion = pipeline.coefficients_to_motion(nets, source, expression, pose, yaw="-10, 10")
    assert all(t.device.type == "cpu" for record in (reference, expression, motion) for t in tensors_of(record))

    drawn = torch.cat(list(pipeline.preview(nets, portrait, motion, side=64, over_portrait=True).batches()))
    assert len(drawn) == len(motion) and drawn.device.type == "cpu"
    heads = torch.cat([batch.permute(0, 2, 3, 1) for batch in pipeline.render(nets, portrait, motion).batches()])
    assert heads.device == DEVICE and pipeline.landmarks_image(portrait).shape[-1] == 3
    for kept in (heads, heads.cpu()):  # ComfyUI --gpu-only leaves images on the device
        mask = torch.ones(image.shape[:2], device=kept.device)
        stream, _ = pipeline.paste(kept, portrait, mask=mask, background=clip.to(kept.device))
        pasted = torch.cat(list(stream.batches()))
        assert pasted.shape == (len(motion), 3, *image.shape[:2])


@pytest.mark.parametrize("model", [MINI, RELEASED])
def test_images_and_voices_may_lie_on_the_device(model, models, on_the_cpu):
    want, _ = on_the_cpu(model, "crop", True)
    wave, rate = talking.VOICE
    options = talking.clip(on_the_device(model, models), "crop", True).options
    video = on_the_device(model, models).animate(talking.portrait().to(DEVICE), (wave.to(DEVICE), rate), options)
    assert (torch.cat(list(video.frames())).cpu() - want).abs().max() < ARRANGEMENTS


@pytest.mark.parametrize("model", [MINI, RELEASED])
def test_where_the_device_is_full_fewer_frames_are_made_at_once(model, models, on_the_cpu, caplog):
    want, _ = on_the_cpu(model, "crop", False)

    def peak_of(batch_size: int) -> int:
        video = talking.clip(on_the_device(model, models, batch_size=batch_size))
        memory.peak = memory.used
        for _ in video.frames():
            pass
        return memory.peak

    small, large = peak_of(1), peak_of(5)
    assert small < large
    caplog.set_level(logging.WARNING)
    video = talking.clip(on_the_device(model, models, batch_size=5))
    memory.capacity = (small + large) // 2
    got = torch.cat([batch.cpu() for batch in video.frames()])
    assert "memory" in caplog.text and "2 frames" in caplog.text
    assert (got - want).abs().max() < ARRANGEMENTS


def test_nothing_stays_on_the_device(models):
    for model in (MINI, RELEASED):
        for _ in talking.clip(on_the_device(model, models)).frames():
            pass
    gc.collect()
    assert memory.used < TABLES_BYTES


def test_the_command_writes_a_video_made_there(tmp_path, models):
    from PIL import Image

    Image.fromarray((talking.portrait() * 255).byte().numpy()).save(tmp_path / "face.png")
    write_wave(tmp_path / "voice.wav", *talking.VOICE)
    target = tmp_path / "film.mp4"
    memory.peak = memory.used
    files = [str(tmp_path / "face.png"), str(tmp_path / "voice.wav"), "-o", str(target)]
    ended = main([*files, "--model", RELEASED, "--models", str(models), "--device", str(DEVICE), "--paste-back"])
    assert not ended and memory.peak > 1_000_000
    assert imageio_ffmpeg.count_frames_and_secs(str(target))[0] == 5
