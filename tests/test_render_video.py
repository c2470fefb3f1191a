"""A video is made batch by batch, and one that is not finished does not look finished."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from sadtalker_core import pipeline
from sadtalker_core.compose import whole_image
from sadtalker_core.compose.paste import PasteBack
from sadtalker_core.datatypes import RELEASED, Box, CropMode, FaceCrop, FrameStream, Portrait
from sadtalker_core.errors import Cancelled, DoesNotFit, OptionError, VideoError
from sadtalker_core.families import FAMILIES, released
from sadtalker_core.model import SadTalkerModel, assemble_mini
from sadtalker_core.render.facevid2vid.fast import accelerate
from tests.decoded import decoded
from tests.face.images import astronaut
from tests.render import tiny


def some_heads(n_frames=5, batch=2, side=32):
    """A ramp that gets brighter, in batches."""

    def batches():
        for start in range(0, n_frames, batch):
            n = min(batch, n_frames - start)
            yield torch.arange(start, start + n).float()[:, None, None, None].expand(n, 3, side, side) / n_frames

    return FrameStream(n_frames, side, side, batches)


def frames_in(file):
    """(T, H, W, 3) uint8, and their rate"""
    frames, fps = decoded(file)
    return torch.from_numpy(frames.copy()), fps


def stop_after(n_frames):
    def on_progress(done, total):
        if done >= n_frames:
            raise Cancelled("enough")

    return on_progress


def test_every_head_comes_into_the_video_in_its_order(tmp_path):
    seen = []
    pipeline.render_video(
        tmp_path / "film.mp4",
        some_heads(),
        on_head=lambda head: seen.append(tuple(head.shape)),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    frames, fps = frames_in(tmp_path / "film.mp4")
    assert frames.shape[1:] == (32, 32, 3) and fps == 25
    brightness = frames.float().mean(dim=(1, 2, 3)) / 255
    torch.testing.assert_close(brightness, torch.arange(5) / 5, rtol=0, atol=0.02)
    assert seen == [(3, 32, 32), (2, 5), (3, 32, 32), (4, 5), (3, 32, 32), (5, 5)]


def test_heads_come_back_into_their_image(tmp_path):
    image = torch.full((60, 80, 3), 0.25)
    crop = FaceCrop(torch.zeros(3, 32, 32), torch.zeros(68, 2), Box(20, 10, 40, 40), CropMode.FULL)
    whole = pipeline.make_paste_back(Portrait(image, crop=crop), colour_match=0.0)
    pipeline.render_video(tmp_path / "film.mp4", some_heads(), whole, quality="best")
    frames, _ = frames_in(tmp_path / "film.mp4")
    assert frames.shape[1:] == (60, 80, 3)
    last = frames[-1].float() / 255
    assert abs(last[30, 40].mean() - 0.8) < 0.03 and abs(last[5, 5].mean() - 0.25) < 0.03


EDGES = {"left": ("x", 175, 512), "top": ("y", 62, 512), "right": ("x", 0, 280), "bottom": ("y", 0, 180)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", [CropMode.FULL, CropMode.EXTENDED_FULL])
@pytest.mark.parametrize("edges", [*EDGES, "left top", "right top", "left bottom", "right bottom"])
def test_a_face_at_any_edge_of_the_image_finds_its_place_again(edges, mode):
    spans = {axis: (start, stop) for axis, start, stop in (EDGES[edge] for edge in edges.split())}
    rows, columns = (slice(*spans.get(axis, (0, 512))) for axis in "yx")
    image = astronaut()[rows, columns].contiguous()
    nets, speech = assemble_mini(), pipeline.encode_audio(None, idle_seconds=1 / 25)
    with torch.inference_mode():
        portrait, source = pipeline.extract(nets, Portrait(image), mode)
        tracks = pipeline.predict_expression(nets, speech, source), pipeline.predict_head_pose(nets, speech, source)
        heads = next(pipeline.render(nets, portrait, pipeline.coefficients_to_motion(nets, source, *tracks)).batches())
        (whole,) = pipeline.make_paste_back(portrait).as_bytes(heads)
    apart = (whole.float() - image * 255).abs()
    box = portrait.require_crop().box
    # 2.6 to 5.1 levels, as a mouth at rest smiles no more; heads that are off by 12 pixels of 256 have 24 and more
    assert apart[box.y : box.bottom, box.x : box.right].mean() < 10
    apart[box.y : box.bottom, box.x : box.right] = 0
    assert apart.max() <= 0.5


def test_a_whole_image_is_made_for_one_head_at_a_time(tmp_path, monkeypatch):
    """It may need more room than the heads did, and room for one image there must be anyway."""
    portrait = Portrait(torch.rand(60, 80, 3), crop=tiny.crop())
    made, as_bytes = [], PasteBack.as_bytes
    monkeypatch.setattr(PasteBack, "as_bytes", lambda self, heads: made.append(len(heads)) or as_bytes(self, heads))
    pipeline.render_video(tmp_path / "film.mp4", some_heads(), pipeline.make_paste_back(portrait))
    assert made == [1] * 5


@pytest.mark.parametrize("batch_size, asked", [(0, [1] * 7), (2, [2, 2, 2, 1]), (6, [6, 3, 1] + [1] * 6)])
def test_a_video_goes_on_in_smaller_batches_where_memory_runs_out(tmp_path, monkeypatch, batch_size, asked):
    generator = accelerate(tiny.generator())
    nets = SadTalkerModel(
        "tiny", FAMILIES[RELEASED], tiny.SIDE, {"keypoint_detector": tiny.keypoint_detector(), "generator": generator}
    )
    portrait = Portrait(torch.rand(60, 80, 3), crop=tiny.crop())

    def video(name, batch_size):
        heads = pipeline.render(nets, portrait, tiny.motion(7), batch_size=batch_size)
        pipeline.render_video(tmp_path / name, heads, pipeline.make_paste_back(portrait))
        return frames_in(tmp_path / name)[0].float()

    want = video("one.mp4", 1)
    tried = tiny.cramp(monkeypatch, generator, room=2)
    assert (video("several.mp4", batch_size) - want).abs().max() <= 8, "levels, where rounding moves the encoder"
    assert tried == asked


@pytest.mark.parametrize("stopped_by", ["user", "renderer"])
@pytest.mark.parametrize("asked", [False, True])
def test_a_video_that_was_stopped_leaves_nothing_or_what_was_asked_for(tmp_path, asked, stopped_by):
    heads, on_progress = some_heads(), stop_after(4)
    if stopped_by == "renderer":
        on_progress = None

        def broken():
            ready = some_heads().batches()
            yield next(ready)
            yield next(ready)
            raise Cancelled("enough")

        heads = FrameStream(5, 32, 32, broken)
    partial = tmp_path / "film_partial.mp4" if asked else None
    with pytest.raises(Cancelled, match="enough"):
        pipeline.render_video(
            tmp_path / "film.mp4",
            heads,
            audio=(torch.zeros(1, 16_000), 16_000),
            partial=partial,
            on_progress=on_progress,
        )
    assert [file.name for file in tmp_path.iterdir()] == (["film_partial.mp4"] if asked else [])
    if asked:
        assert len(frames_in(partial)[0]) == 4


def test_before_the_first_frame_there_is_nothing_to_keep(tmp_path):
    def none():
        raise Cancelled("at once")
        yield

    with pytest.raises(Cancelled):
        pipeline.render_video(
            tmp_path / "film.mp4", FrameStream(5, 32, 32, none), partial=tmp_path / "film_partial.mp4"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_finished_video_leaves_no_partial(tmp_path):
    pipeline.render_video(tmp_path / "film.mp4", some_heads(), partial=tmp_path / "film_partial.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_no_batch_is_kept_when_the_next_one_comes(tmp_path):
    made, alive = [], []

    def batches():
        for _ in range(4):
            batch = torch.zeros(2, 3, 32, 32)
            made.append(weakref.ref(batch))
            yield batch
            del batch
            gc.collect()
            alive.append(sum(ref() is not None for ref in made))

    pipeline.render_video(tmp_path / "film.mp4", FrameStream(8, 32, 32, batches))
    assert max(alive) <= 1, "the one that the caller's loop variable still names"


@pytest.fixture
def measured(monkeypatch):
    """One entry for every time that somebody measures how fast this machine paints: a second a frame."""
    times = []
    monkeypatch.setattr(released, "seconds_per_frame", lambda *where: times.append(where) or 1.0)
    return times


def rendered_heads(n_frames=3):
    nets = {"keypoint_detector": tiny.keypoint_detector(), "generator": tiny.generator()}
    crop = tiny.crop()
    portrait = Portrait(crop.image.permute(1, 2, 0), crop=crop)
    return pipeline.render(SadTalkerModel("tiny", FAMILIES[RELEASED], tiny.SIDE, nets), portrait, tiny.motion(n_frames))


def test_nobody_waits_for_an_estimate_that_nobody_reads(tmp_path, measured):
    heads = rendered_heads()
    heads.check_memory(heads.n_bytes)
    pipeline.render_video(tmp_path / "film.mp4", heads)
    assert len(frames_in(tmp_path / "film.mp4")[0]) == 3 and not measured


def test_a_caller_learns_how_long_it_will_take(measured):
    assert rendered_heads(7).summary().endswith(", about 7 s")
    assert rendered_heads(90).summary().endswith(", about 2 min")
    with pytest.raises(DoesNotFit, match="about 7 s do not fit into the 0 MB"):
        rendered_heads(7).check_memory(0)
    assert len(measured) == 3


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 32, 32), (1, 32, 32, 1), (1, 1, 32, 32, 3)])
def test_frames_without_a_batch_axis_or_colours_are_refused(tmp_path, shape):
    crop = FaceCrop(torch.zeros(3, 32, 32), torch.zeros(68, 2), Box(20, 10, 40, 40), CropMode.FULL)
    portrait, frames = Portrait(torch.zeros(60, 80, 3), crop=crop), torch.zeros(shape)
    for name, call in {
        "frames": lambda: pipeline.paste(frames, portrait),
        "background": lambda: pipeline.paste(torch.zeros(1, 32, 32, 3), portrait, background=frames),
        "frames ": lambda: pipeline.write_video(tmp_path / "a.mp4", frames),
    }.items():
        with pytest.raises(VideoError, match=rf"{name.strip()} as \(batch, height, width, 3 channels\), got the shape"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_frames, n_behind, named", [(0, None, "frames"), (0, 2, "frames"), (2, 0, "background")])
def test_a_clip_without_images_cannot_be_pasted(n_frames, n_behind, named):
    crop = FaceCrop(torch.zeros(3, 32, 32), torch.zeros(68, 2), Box(20, 10, 40, 40), CropMode.FULL)
    background = None if n_behind is None else torch.zeros(n_behind, 60, 80, 3)
    with pytest.raises(VideoError, match=f"at least one frame in {named}"):
        pipeline.paste(
            torch.zeros(n_frames, 32, 32, 3), Portrait(torch.zeros(60, 80, 3), crop=crop), background=background
        )


@pytest.mark.parametrize(("pixels", "sizes"), [(4_000_000, [4, 3]), (60 * 80 * 2, [2, 2, 2, 1]), (1, [1] * 7)])
def test_large_images_are_pasted_one_by_one_so_that_a_stop_is_soon_noticed(pixels, sizes, monkeypatch):
    portrait = Portrait(torch.rand(60, 80, 3, generator=torch.Generator().manual_seed(0)), crop=tiny.crop())
    frames = torch.rand(7, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.cat(list(pipeline.paste(frames, portrait)[0].batches()))
    monkeypatch.setattr(whole_image, "PIXELS_AT_ONCE", pixels)
    batches = list(pipeline.paste(frames, portrait)[0].batches())
    assert [len(batch) for batch in batches] == sizes
    torch.testing.assert_close(torch.cat(batches), expected)


def test_a_video_can_be_stopped_between_the_whole_images_of_one_batch(tmp_path, monkeypatch):
    portrait = Portrait(torch.rand(60, 80, 3), crop=tiny.crop())
    whole, n_asked = pipeline.make_paste_back(portrait), 0

    def stop():
        nonlocal n_asked
        n_asked += 1
        if n_asked == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.render_video(tmp_path / "film.mp4", some_heads(5, batch=5), whole, check_stop=stop)
    assert not list(tmp_path.iterdir())


def two_people(n_frames=(3, 5)):
    """A grey image with a square at each side, one head darker than the other, of two lengths."""
    image = torch.full((32, 80, 3), 0.5)
    boxes = Box(0, 0, 32, 32), Box(48, 0, 32, 32)
    portraits = [
        Portrait(image, crop=FaceCrop(torch.zeros(3, 32, 32), torch.zeros(68, 2), box, CropMode.FULL)) for box in boxes
    ]
    return [
        (some_heads(n, 2), pipeline.make_paste_back(portrait, colour_match=0.0))
        for n, portrait in zip(n_frames, portraits, strict=True)
    ]


def test_two_people_of_one_image_are_one_video_as_long_as_the_longer():
    video = pipeline.paste_together(two_people())
    frames = torch.cat(list(video.batches()))
    assert (video.n_frames, video.width, video.height) == (5, 80, 32) and frames.shape == (5, 3, 32, 80)
    assert (frames[..., 32:48] == 0.5).all(), "between them the image stays"
    left, right = frames[:, 0, 16, 16], frames[:, 0, 16, 64]
    assert torch.equal(left[2:], left[2].expand(3)) and (left[:3].diff() > 0).all(), (
        "the shorter one holds its last frame"
    )
    assert (right.diff() > 0).all()


def test_people_are_rendered_one_batch_at_a_time():
    asked = []

    def watched(k, heads):
        def batches():
            for batch in heads.batches():
                asked.append(k)
                yield batch

        return FrameStream(heads.n_frames, heads.height, heads.width, batches)

    people = [(watched(k, heads), back) for k, (heads, back) in enumerate(two_people((4, 4)))]
    frames = pipeline.paste_together(people).batches()
    next(frames)
    assert asked == [0, 1], "nobody is rendered ahead"


def test_people_of_images_of_two_sizes_are_refused():
    (heads, back), _ = two_people()
    other = Portrait(
        torch.zeros(40, 40, 3),
        crop=FaceCrop(torch.zeros(3, 32, 32), torch.zeros(68, 2), Box(0, 0, 32, 32), CropMode.FULL),
    )
    with pytest.raises(OptionError, match="80 x 32 and 40 x 40"):
        pipeline.paste_together([(heads, back), (heads, pipeline.make_paste_back(other))])
    with pytest.raises(OptionError, match="at least one person"):
        pipeline.paste_together([])
