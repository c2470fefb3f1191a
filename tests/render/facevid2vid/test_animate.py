import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.datatypes import Box
from sadtalker_core.errors import Cancelled, ImageError, InputError, OptionError, WrongFamily
from sadtalker_core.render.facevid2vid.animate import render_frames
from sadtalker_core.render.frames import can_render_on, to_box_aspect
from tests.render import tiny


def render(n_frames=3, **options):
    return render_frames(tiny.keypoint_detector(), tiny.generator(), tiny.crop(), tiny.motion(n_frames), **options)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_frames_come_in_batches_and_none_is_rendered_to_fill_up(n_frames, batch_size):
    batches = list(render(n_frames, batch_size=batch_size))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (math.ceil(n_frames / batch_size) - 1)
    frames = torch.cat(batches)
    assert frames.shape == (n_frames, 3, tiny.SIDE, tiny.SIDE) and frames.dtype == torch.float32
    assert frames.min() >= 0 and frames.max() <= 1


def test_frames_do_not_depend_on_the_batch_size():
    one, many = torch.cat(list(render(7))), torch.cat(list(render(7, batch_size=4)))
    assert torch.allclose(one, many, atol=1e-6)


def test_a_frame_is_the_portrait_with_its_key_points_moved():
    """The same frame, from the networks called one by one."""
    from sadtalker_core.render.facevid2vid.transform import transform_keypoints

    detector, generator, crop, motion = tiny.keypoint_detector(), tiny.generator(), tiny.crop(), tiny.motion(3)
    frames = list(render_frames(detector, generator, crop, motion))
    image = crop.image.unsqueeze(0)
    canonical = detector(image)
    with torch.no_grad():
        frame = generator(
            image, transform_keypoints(canonical, motion.source), transform_keypoints(canonical, motion.driving[2:3])
        ).image
    assert torch.allclose(frames[2], frame, atol=1e-6)


def test_the_portrait_is_looked_at_once_a_clip():
    detector, generator = tiny.keypoint_detector(), tiny.generator()
    seen = []
    detector.register_forward_hook(lambda *_: seen.append("key points"))
    generator.encoder.register_forward_hook(lambda *_: seen.append("encoder"))
    generator.dense_motion.compression.register_forward_hook(lambda *_: seen.append("compact"))
    list(render_frames(detector, generator, tiny.crop(), tiny.motion(5), batch_size=2))
    assert sorted(seen) == ["compact", "encoder", "key points"]


def test_no_more_is_rendered_than_was_asked_for():
    detector, generator = tiny.keypoint_detector(), tiny.generator()
    rendered = []
    generator.decoder.register_forward_hook(lambda module, inputs, output: rendered.append(len(output)))
    frames = render_frames(detector, generator, tiny.crop(), tiny.motion(100), batch_size=2)
    next(frames), next(frames)
    assert rendered == [2, 2]


def test_progress_counts_frames_and_may_stop():
    seen = []
    list(render(5, batch_size=2, on_progress=lambda done, total: seen.append((done, total))))
    assert seen == [(2, 5), (4, 5), (5, 5)]

    def stop(done, total):
        if done == 2:
            raise Cancelled("enough")

    frames = render(5, on_progress=stop)
    next(frames)
    with pytest.raises(Cancelled):
        next(frames)


def test_gradients_are_off_inside_and_untouched_outside():
    for batch in render(2):
        assert torch.is_grad_enabled() and not batch.requires_grad


def test_nets_and_inputs_are_left_as_they_were():
    detector, generator, crop, motion = tiny.keypoint_detector(), tiny.generator(), tiny.crop(), tiny.motion(3)
    tensors = [crop.image, motion.driving.offsets, motion.driving.translation, motion.source.yaw, *generator.buffers()]
    before = [tensor.clone() for tensor in tensors]
    list(render_frames(detector, generator, crop, motion))
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))


def test_narrow_nets_give_frames_in_float32():
    frames = render_frames(
        tiny.keypoint_detector().bfloat16(), tiny.generator().bfloat16(), tiny.crop(), tiny.motion(2), batch_size=2
    )
    narrow, exact = next(frames), torch.cat(list(render(2)))
    assert narrow.dtype == torch.float32
    assert F.l1_loss(narrow, exact) < 0.02


# what is refused, before the first frame is asked for


def refuse(error, sentence, crop=None, motion=None, **options):
    crop = tiny.crop() if crop is None else crop
    motion = tiny.motion(2) if motion is None else motion
    with pytest.raises(error, match=sentence):
        render_frames(tiny.keypoint_detector(), tiny.generator(), crop, motion, **options)


def test_a_motion_of_the_other_family_is_refused():
    refuse(WrongFamily, "the motion was made with a mini model", motion=tiny.blendshape_motion(2))


@pytest.mark.parametrize("field", ["yaw", "roll", "translation", "offsets"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_motion_that_is_no_number_is_refused_with_its_frame(field, value):
    motion = tiny.motion(5)
    getattr(motion.driving, field)[3] = value
    refuse(InputError, "the driving motion of frame 3 contains NaN or infinite values", motion=motion)


def test_a_source_row_that_is_no_number_is_refused():
    motion = tiny.motion(5)
    motion.source.pitch[0] = float("nan")
    refuse(InputError, "the source motion of frame 0", motion=motion)


def test_offsets_of_other_key_points_are_refused():
    motion = tiny.motion(2)
    wide = dataclasses.replace(motion.driving, offsets=torch.zeros(2, 45))
    refuse(
        InputError,
        "expected 9 key-point offsets per driving row, got 45",
        motion=dataclasses.replace(motion, driving=wide),
    )


@pytest.mark.parametrize("shape", [(3, 32, 48), (3, 40, 40), (4, 32, 32), (32, 32, 3), (32, 32), (3, 0, 0)])
def test_a_crop_of_a_size_the_nets_cannot_halve_is_refused(shape):
    crop = dataclasses.replace(tiny.crop(), image=torch.zeros(shape))
    refuse(ImageError, "S a multiple of 16, got", crop=crop)


def test_a_crop_that_is_no_number_is_refused():
    crop = tiny.crop()
    crop.image[1, 2, 3] = float("nan")
    refuse(ImageError, "NaN", crop=crop)


def test_no_frames_and_no_batch_are_refused():
    refuse(OptionError, "batch_size of at least 1, got 0", batch_size=0)
    refuse(OptionError, "at least one frame", motion=tiny.motion(0))


# the aspect of the box


def resize_slowly(plane, height):
    """Rows between the two nearest pixel centres, clamped at the border, as OpenCV's INTER_LINEAR."""
    old = len(plane)
    rows = []
    for row in range(height):
        at = min(max((row + 0.5) * old / height - 0.5, 0), old - 1)
        above = int(at)
        below = min(above + 1, old - 1)
        rows.append(plane[above] * (1 - (at - above)) + plane[below] * (at - above))
    return torch.stack(rows)


@pytest.mark.parametrize("width, height", [(200, 200), (301, 277), (180, 255), (640, 480), (123, 391), (1000, 1)])
def test_frames_get_the_aspect_of_the_box_and_keep_their_width(width, height):
    frames = tiny.uniform(2, 3, 32, 32)
    out = to_box_aspect(frames, Box(5, 6, width, height))
    rows = max(1, int(32 * height / width))
    assert out.shape == (2, 3, rows, 32)
    assert torch.allclose(out[1, 2], resize_slowly(frames[1, 2], rows), atol=1e-5)


def test_the_aspect_agrees_with_opencv():
    import cv2  # comes with face-alignment

    frames = tiny.uniform(1, 3, 64, 64)
    out = to_box_aspect(frames, Box(0, 0, 301, 277))
    want = cv2.resize(frames[0].permute(1, 2, 0).numpy(), (64, out.shape[-2]), interpolation=cv2.INTER_LINEAR)
    assert np.abs(out[0].permute(1, 2, 0).numpy() - want).max() < 1e-5


# devices


def test_the_cpu_can_render():
    assert can_render_on("cpu") and can_render_on(torch.device("cpu"))


@pytest.mark.parametrize("missing", ["volumes", "the border"])
def test_a_device_without_an_operation_is_recognised(monkeypatch, missing):
    sample = F.grid_sample

    def some(image, grid, padding_mode="zeros", **more):
        if (image.ndim == 5) if missing == "volumes" else (padding_mode == "border"):
            raise NotImplementedError("not implemented there")
        return sample(image, grid, padding_mode=padding_mode, **more)

    monkeypatch.setattr(F, "grid_sample", some)
    can_render_on.cache_clear()
    try:
        assert not can_render_on("cpu")
    finally:
        can_render_on.cache_clear()
