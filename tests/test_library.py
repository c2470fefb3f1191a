"""The library: what is public can be imported, a portrait comes in any form, and a video comes out."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sadtalker_core
from sadtalker_core import errors
from sadtalker_core.api import SadTalker, Video, load
from sadtalker_core.arguments import as_audio, as_image
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import RELEASED, Portrait
from sadtalker_core.device import BF16_DECODER, DTYPES, chosen_device, in_precision, to_device
from sadtalker_core.errors import AudioError, ImageError, OptionError, SadTalkerError
from sadtalker_core.families import FAMILIES
from sadtalker_core.model import SadTalkerModel
from sadtalker_core.options import PRECISIONS, Options
from sadtalker_core.render.estimate import half_precision_cost
from tests.face.images import astronaut
from tests.render import tiny
from tests.waves import write_wave

HELLO = Path(__file__).parent / "demo" / "hello.flac"


@pytest.fixture(scope="module")
def model():
    return load("mini", device="cpu")


@pytest.fixture(scope="module")
def video(model):
    return model.animate(astronaut(), None, Options(idle_seconds=0.2, quality="draft"))


def test_all_that_is_public_can_be_imported_and_every_error_is_public():
    assert {getattr(sadtalker_core, name).__name__ for name in sadtalker_core.__all__ if name != "OPTIONS"} | {
        "OPTIONS"
    } == set(sadtalker_core.__all__)
    assert set(sadtalker_core.__all__) <= set(dir(sadtalker_core))
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SadTalkerError)}
    assert kinds <= set(sadtalker_core.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sadtalker_core.nothing  # noqa: B018


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, sadtalker_core; print('torch' in sys.modules, 'numpy' in sys.modules)"
    project = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_video_knows_its_frames_before_it_renders_them(video):
    frames = torch.cat(list(video.frames()))
    assert frames.shape == (video.n_frames, 3, video.size[1], video.size[0]) and video.n_frames == 5
    assert frames.dtype == torch.float32 and 0 <= frames.min() < frames.max() <= 1
    assert video.fps == 25 and not frames.is_inference()
    torch.testing.assert_close(torch.cat(list(video.frames())), frames, rtol=0, atol=0)


def test_with_paste_back_the_frames_are_whole_images(model):
    image = astronaut()
    video = model.animate(image, None, Options(idle_seconds=0.08, paste_back=True))
    frames = torch.cat(list(video.frames()))
    assert video.size == (image.shape[1], image.shape[0])
    assert frames.shape == (2, 3, *image.shape[:2])
    torch.testing.assert_close(frames[:, :, -8:], image.permute(2, 0, 1)[None, :, -8:].expand(2, -1, -1, -1))


def test_a_video_is_saved_once_and_replaced_only_when_that_is_asked_for(video, tmp_path):
    reports = []
    path = video.save(tmp_path / "talk.mp4", on_progress=lambda done, total: reports.append((done, total)))
    assert path == tmp_path / "talk.mp4" and path.read_bytes()[4:8] == b"ftyp" and reports[-1] == (5, 5)
    path.write_bytes(b"mine")
    with pytest.raises(OptionError, match="out: .*talk.mp4 cannot be written: it exists"):
        video.save(path)
    assert path.read_bytes() == b"mine"
    video.save(str(path), overwrite=True)
    assert path.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(("name", "reason"), [
    ("talk.avi", "ends in .mp4"), ("nowhere/talk.mp4", "its folder does not exist"), ("x\0y.mp4", "out: "),
    ("folder.mp4", "it is a folder"), ("a" * 300 + ".mp4", "its name is too long"),
])  # fmt: skip
def test_a_video_that_could_not_be_written_is_refused_before_the_work(video, tmp_path, name, reason):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OptionError, match=reason) as caught:
        video.save(tmp_path / name)
    assert len(str(caught.value)) < 700


def test_a_portrait_comes_as_a_path_an_image_an_array_or_a_tensor(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 80, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "face.png")
    wanted = torch.from_numpy(pixels)
    assert torch.equal(as_image(pixels), wanted) and torch.equal(as_image(wanted), wanted)
    for portrait in (image, tmp_path / "face.png", str(tmp_path / "face.png")):
        torch.testing.assert_close(as_image(portrait) * 255, wanted.float())


@pytest.mark.parametrize("portrait", ["gone.png", "x\0y", HELLO, 7, None, np.array(["a"])])
def test_what_is_no_portrait_gets_a_sentence(portrait):
    with pytest.raises(ImageError, match="^portrait: "):
        as_image(portrait)


def test_a_voice_comes_as_a_path_or_as_samples_of_any_kind(tmp_path):
    wave = torch.linspace(-1, 0.99, 800)
    path = write_wave(tmp_path / "voice.wav", wave, 16_000)
    wanted = as_audio(path)[0][0]
    pcm = (wanted * 2**15).round()
    for waveform in (pcm.short(), pcm.short().numpy(), pcm.int() * 2**16, wanted.numpy()):
        got, rate_hz = as_audio((waveform, 16_000))
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)
        assert rate_hz == 16_000
    middle = as_audio((torch.tensor([0, 128, 255], dtype=torch.uint8), 8_000))[0]
    assert middle.tolist() == pytest.approx([-1, 0, 127 / 128])
    assert as_audio(None) is None


@pytest.mark.parametrize(
    "audio",
    [
        "gone.wav",
        __file__,
        7,
        (1, 2, 3),
        ("a", 16_000),
        (np.array(["a"]), 16_000),
        (torch.ones(800, dtype=torch.bool), 16_000),
    ],
)
def test_what_is_no_voice_gets_a_sentence(audio):
    with pytest.raises(AudioError, match="^audio: "):
        as_audio(audio)


@pytest.mark.parametrize("device", ["cuda:99", "quantum", "meta", "", None])
def test_a_device_that_is_not_there_gets_a_sentence(device):
    with pytest.raises(OptionError, match="^device: expected auto, cpu or a device of this machine, got "):
        chosen_device(device)


def test_a_device_is_chosen_by_name_or_by_what_is_there():
    assert chosen_device("cpu") == torch.device("cpu")
    assert chosen_device().type in ("cuda", "mps", "cpu")


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_only_the_painting_networks_leave_fp32_and_auto_goes_by_the_device(device):
    def dtype(name: str, precision: str, **fastest) -> torch.dtype:
        net = in_precision(name, torch.nn.PReLU(), precision, torch.device(device), **fastest)
        return next(net.parameters()).dtype

    assert {dtype("expnet", precision) for precision in PRECISIONS} == {torch.float32}
    for precision, wanted in DTYPES.items():
        assert dtype("flow_renderer", precision) == wanted
    assert dtype("flow_renderer", "auto") == (torch.float32 if device == "cpu" else torch.float16)
    slow = dtype("flow_renderer", "auto", fastest=lambda device: torch.float32)
    assert slow == torch.float32, "ComfyUI knows GPUs that are slow with half precision"
    assert dtype("flow_renderer", BF16_DECODER) == torch.float32, "mini has no decoder of that kind"


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_bf16_decoder_paints_in_bf16_and_moves_in_fp32_on_every_device(device):
    fast = in_precision("generator", tiny.generator(), BF16_DECODER, torch.device(device))
    assert {tensor.dtype for tensor in fast.decoder.parameters()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in fast.dense_motion.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("precision", "cost", "message"),
    [
        ("auto", 0.3, "the precision 'bf16 decoder' would render faster than fp32 here"),
        ("auto", 1.7, ""),
        ("fp32", 0.3, ""),
        (
            BF16_DECODER,
            0.3,
            "in bf16 a convolution of the renderer takes 0.3 times as long as in fp32 on this CPU: this",
        ),
        (BF16_DECODER, 1.7, "fp32 is faster"),
        ("fp16", 1.7, "in fp16 "),
    ],
)
def test_one_line_reports_whether_half_precision_pays_on_this_cpu(precision, cost, message, monkeypatch, caplog):
    monkeypatch.setattr("sadtalker_core.device.half_precision_cost", lambda dtype: cost)
    caplog.set_level(logging.INFO)
    in_precision("generator", tiny.generator(), precision, torch.device("cpu"))
    assert len(caplog.messages) == bool(message) and message in caplog.text
    in_precision("flow_renderer", torch.nn.PReLU(), precision, torch.device("cpu"))
    in_precision("generator", tiny.generator(), precision, torch.device("meta"), lambda device: torch.float32)
    assert len(caplog.messages) == bool(message), "on other devices and for mini there is nothing to say"


def test_what_half_precision_costs_is_measured_once_on_every_cpu():
    assert half_precision_cost(torch.bfloat16) > 0
    assert half_precision_cost(torch.bfloat16) == half_precision_cost(torch.bfloat16)


@pytest.mark.slow
def test_the_released_family_gives_its_frames_as_well():
    nets = {"keypoint_detector": tiny.keypoint_detector(), "generator": tiny.generator()}
    loaded = to_device(SadTalkerModel("tiny", FAMILIES[RELEASED], tiny.SIDE, nets), torch.device("cpu"), "auto")
    portrait = Portrait(torch.zeros(64, 64, 3), crop=tiny.crop())
    video = Video(SadTalker(loaded, torch.device("cpu"), batch_size=2), portrait, tiny.motion(5), None, Options())
    batches = list(video.frames())
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert torch.cat(batches).shape == (5, 3, video.size[1], video.size[0])


@pytest.mark.slow
def test_the_six_lines_of_the_readme_make_the_video_of_the_nodes(tmp_path, model):
    face = tmp_path / "face.png"
    Image.fromarray((astronaut() * 255).byte().numpy()).save(face)
    voice = as_audio(HELLO)
    short = (voice[0][:, :8_000], voice[1])
    video = model.animate(face, short, sadtalker_core.Options(pose_style=3))
    assert video.n_frames == 12
    other = model.animate(face, short, sadtalker_core.Options(pose_style=4))
    assert not torch.equal(video.motion.driving.yaw, other.motion.driving.yaw)
    assert video.save(tmp_path / "talk.mp4").stat().st_size > 5_000


def two_faces():
    """The astronaut, and beside her the same in a mirror, 300 pixels high."""
    one = astronaut()[:300, 60:400]
    return torch.cat([one, one.flip(1)], dim=1)


@pytest.mark.slow
def test_two_faces_of_one_image_talk_in_turns_in_one_video(model, tmp_path):
    sound = 0.2 * torch.sin(torch.arange(16_000 * 3) / 12)[None]
    turns = sadtalker_core.read_turns("0:00-0:00.2 left\n0:00.2-0:03 right")
    options = Options(render_size=256, quality="draft")
    video = model.animate(two_faces(), (sound, 16_000), options, speakers=turns)
    assert video.size == (680, 300) and video.n_frames == 75
    people = [(video.portrait, video.motion), *video.others]
    assert [round(portrait.crop.box.x / 340) for portrait, _ in people] == [0, 1], "the first to speak is on the left"
    listener = people[0][1].driving
    assert listener.yaw[-1] < listener.yaw[:5].mean() - 2, "who listens turns to the right of the image"
    assert listener.weights[60, BLENDSHAPE_INDEX["eyeLookOutLeft"]] > 0.2
    frame = next(video.frames())
    assert frame.shape == (1, 3, 300, 680)


def test_faces_that_are_missing_and_audio_that_is_not_there_are_reported(model):
    turns = sadtalker_core.read_turns("0-1 anna\n1-2 ben")
    with pytest.raises(errors.FaceNotFound, match=r"the lines name 2 \(anna, ben\), each of whom needs a face"):
        model.animate(astronaut(), (torch.rand(1, 32_000) - 0.5, 16_000), speakers=turns)
    with pytest.raises(OptionError, match="no audio to divide"):
        model.animate(astronaut(), None, speakers=turns)


def test_a_video_writes_what_it_shows_as_blendshapes(video, tmp_path):
    file = video.save_blendshapes(tmp_path / "face.csv")
    read = sadtalker_core.import_blendshapes(file)
    units = video.motion.driving.weights[:, :52]
    torch.testing.assert_close(read.expression.coefficients[:, :52], units, rtol=0, atol=1e-7)
    torch.testing.assert_close(torch.rad2deg(read.pose.rotation[:, 1]), video.motion.driving.yaw, rtol=0, atol=1e-4)
    with pytest.raises(OptionError, match="exists"):
        video.save_blendshapes(file)
