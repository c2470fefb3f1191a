"""Where something of a user's comes in: each doorway makes broken inputs (bytes, to be kept as a file) and tries them.

    weights    a weights file, read and assembled      images  an image file, as Load Portrait and the batch read it
    tracks     a track file, read and edited           sounds    a sound file, as the batch reads it, heard
    degrees    a list of head angles                   nodes     what nodes are given, by widgets and by wires
    table      a table of jobs                         names     file names that users write: prefixes, models, ...
    manifest   what a run of jobs has left behind      fetch     what a server answers
    turns      who speaks when                         blendshapes  files of blendshapes, visemes and phonemes

An input that is refused raises one of the pack's own errors; anything else is a find. `nodes`, `names` and `images`
need a ComfyUI in the process (host).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tests.tools.fuzz import mutations as odd

Host = Any  #: tests/tools/comfyui/inside/host.py


class Doorway:
    """folder: its own, for samples and for what is tried;  host: a loaded ComfyUI, where it needs one."""

    needs_host: ClassVar[bool] = False

    def __init__(self, folder: Path, host: Host = None):
        self.folder, self.host = folder, host
        folder.mkdir(parents=True, exist_ok=True)

    def make(self, rng: Random) -> bytes:
        """Another broken input."""
        raise NotImplementedError

    def probe(self, data: bytes) -> None:
        """Hands the input in. Raises what the doorway raises, AssertionError where it lets something wrong pass."""
        raise NotImplementedError

    def empty(self, name: str) -> Path:
        """A folder of that name with nothing in it."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


def _named(name: str, data: bytes) -> bytes:
    """A file as an input that can be kept: its name, a line break, its bytes."""
    return name.encode() + b"\n" + data


def _name_and_data(given: bytes) -> tuple[str, bytes]:
    name, _, data = given.partition(b"\n")
    return name.decode(), data


class Weights(Doorway):
    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        import torch

        from sadtalker_core.checkpoint.catalog import ASSETS
        from sadtalker_core.checkpoint.reading import Metadata
        from sadtalker_core.checkpoint.writing import write_checkpoint
        from tests.training import narrow_model

        narrow = narrow_model.nets()
        small = {"mapping": narrow["mapping"].state_dict()}
        configs = {"mapping": {"hidden": 8, "offsets": 15}}
        one = write_checkpoint(folder / "one.safetensors", small, Metadata("released", "one", 32, configs))
        whole = narrow_model.write(folder / "narrow.safetensors")
        mapping = {"mapping": small["mapping"], "optimizer": {"step": 3, "betas": [0.9, 0.99]}, "epoch": 7}
        torch.save(mapping, folder / "new.pth")
        torch.save(mapping, folder / "old.pth", _use_new_zipfile_serialization=False)
        torch.save({"state_dict": {"a": torch.zeros(3), "b": 5}}, folder / "other.pth")
        self.headed = [path.read_bytes() for path in (one, whole, ASSETS / "linear_3dmm.safetensors")]
        self.zipped = [(folder / name).read_bytes() for name in ("new.pth", "other.pth")]
        self.pickled = [(folder / "old.pth").read_bytes(), b"\x80\x04K\x01.", b"\x80", b"PK\x03\x04", b""]
        self.all = [*self.headed, *self.zipped, *self.pickled]

    def make(self, rng: Random) -> bytes:
        ending = rng.choice((".safetensors", ".pth", ".pth.tar", ".ckpt", ".pt"))
        known = ("mapping_00109-model.pth.tar", "epoch_20.pth", "SadTalker_V0.0.2_256.safetensors")
        name = rng.choice(known) if rng.random() < 0.2 else f"mine{ending}"
        kind = rng.randrange(5)
        if kind < 2:
            data = odd.nearly(rng, rng.choice(self.headed), self.all, odd.safetensors)
        elif kind == 2:
            data = odd.tensor_values(rng, rng.choice(self.headed))
        elif kind == 3:
            data = odd.nearly(rng, rng.choice(self.zipped), self.all, odd.archive)
        else:
            data = odd.binary(rng, rng.choice(self.pickled), self.all)
        return _named(name, data)

    def probe(self, data: bytes) -> None:
        from sadtalker_core.checkpoint.reading import read_foreign
        from sadtalker_core.model import load_model

        name, content = _name_and_data(data)
        folder = self.empty("models")
        (folder / name).write_bytes(content)
        both = [load_model, read_foreign] if len(content) % 2 else [read_foreign, load_model]
        refused = None
        for read in both:
            try:
                if read is load_model:
                    _finite(read(f"file/{name}", [folder]).nets)
                else:
                    read(folder / name)
            except Exception as error:  # noqa: BLE001 (the caller checks it; the other reader has its turn first)
                if not is_ours(error):
                    raise
                refused = error
        if refused is not None:
            raise refused


def _finite(nets: Any) -> None:
    for name, net in nets.items():
        wrong = [path for path, tensor in net.state_dict().items() if not tensor.isfinite().all()]
        assert not wrong, f"{name} was loaded with NaN or infinity in {wrong[0]}"


class Tracks(Doorway):
    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        import torch

        from sadtalker_core.datatypes import MINI, RELEASED, Expression, HeadPose
        from sadtalker_core.motion.track_file import save_tracks

        face = torch.linspace(-1, 1, 6 * 64).view(6, 64), torch.linspace(-0.1, 0.1, 36).view(6, 6)
        paths = [
            save_tracks(folder / "both.safetensors", Expression(face[0], MINI), HeadPose(face[1], MINI)),
            save_tracks(folder / "expression.safetensors", Expression(face[0], RELEASED)),
            save_tracks(folder / "pose.safetensors", pose=HeadPose(face[1], RELEASED)),
        ]
        self.samples = [path.read_bytes() for path in paths]

    def make(self, rng: Random) -> bytes:
        sample = rng.choice(self.samples)
        if rng.random() < 0.2:
            return odd.tensor_values(rng, sample)
        return odd.nearly(rng, sample, self.samples, odd.safetensors)

    def probe(self, data: bytes) -> None:
        from sadtalker_core.datatypes import PoseAngles
        from sadtalker_core.motion import edit
        from sadtalker_core.motion.track_file import TRACK_ENDING, load_tracks

        path = self.folder / f"x{TRACK_ENDING}"
        path.write_bytes(data)
        tracks = load_tracks(path)
        if tracks.expression is not None:
            edited = edit.edit_expression(tracks.expression, overall=1.5, smoothing=5)
            assert edited.coefficients.isfinite().all(), "an expression was read that cannot be scaled"
        if tracks.pose is not None:
            turned = edit.edit_pose(tracks.pose, scales=PoseAngles(2.0, 2.0, 2.0), smoothing=5)
            assert turned.coefficients.isfinite().all(), "a pose was read that cannot be scaled"


def _odd_words(rng: Random, data: bytes) -> bytes:
    """JSON with other values in it; of any other text, some of its words and numbers are others."""
    text = data.decode()
    if text[:1] in "[{":
        return odd.json_bytes(odd.document(rng, json.loads(text)))
    words = re.split(r"([\s,:]+)", text)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(0, len(words), 2)
        words[place] = str(rng.choice((odd.number(rng), odd.text(rng), rng.uniform(0, 99), "")))
    return "".join(words).encode(errors="surrogatepass")


class Turns(Doorway):
    """Texts that say who speaks when."""

    SAMPLES = (
        b"0:00-1:50 anna\n# x\n1:50-2:03.5 ben\n",
        b"1\n00:00:00,000 --> 00:00:01,500\nAnna: Hello\n\n2\n00:00:02,000 --> 00:00:03,000\n- Ben: no\n",
        b"WEBVTT\n\nNOTE x\n\n00:00.000 --> 00:01.000 align:left\n<v Anna>hello</v>\n",
        b"SPEAKER a 1 0.00 1.84 <NA> <NA> anna <NA> <NA>\n",
        b"0.0\t1.5\tanna\n\\\t100\t200\n1.5\t2.5\tben\n",
    )

    def make(self, rng: Random) -> bytes:
        return odd.nearly(rng, rng.choice(self.SAMPLES), self.SAMPLES, _odd_words)

    def probe(self, data: bytes) -> None:
        import torch

        from sadtalker_core.audio.speakers import split_speakers
        from sadtalker_core.audio.turns import read_turns_file

        path = self.folder / "x.txt"
        path.write_bytes(data)
        turns = read_turns_file(path)
        assert all(0 <= turn.start < turn.end and turn.speaker for turn in turns), "a turn was read that is none"
        for track in split_speakers(torch.ones(1, 800), 1000, turns):
            assert track.waveform.shape == (1, 800) and 0 <= track.waveform.min() <= track.waveform.max() <= 1


class BlendshapeFiles(Doorway):
    """Files of blendshapes, visemes and phonemes."""

    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        import torch

        from sadtalker_core.datatypes import MINI, Expression, HeadPose
        from sadtalker_core.motion.blendshape_export import export_blendshapes
        from sadtalker_core.motion.blendshape_layout import JSON_ARKIT

        face = Expression(torch.linspace(0, 1, 3 * 64).view(3, 64), MINI)
        head = HeadPose(torch.linspace(-0.1, 0.1, 18).view(3, 6), MINI)
        self.samples = [
            export_blendshapes(folder / "a.csv", face, head).read_bytes(),
            export_blendshapes(folder / "a.json", face, head, form=JSON_ARKIT).read_bytes(),
            odd.json_bytes([{"visemeId": k, "audioOffset": 1_000_000 * k} for k in (0, 21, 2)]),
            odd.json_bytes({"FrameIndex": 0, "BlendShapes": [[0.1] * 55] * 2}),
            odd.json_bytes({"mouthCues": [{"start": 0.0, "end": 0.2, "value": "B"}]}),
            b"0.00\tX\n0.10\tA\n0.30\tD\n",
            b"0.0 0.1 sil\n0.1 0.2 M\n0.2 0.4 AA1\n",
            b'"ooTextFile"\n"TextGrid"\n0\n1\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n1\n1\n0\n1\n"AA1"\n',
        ]

    def make(self, rng: Random) -> bytes:
        ending = rng.choice((".csv", ".json", ".tsv", ".TextGrid"))
        sample = self.samples[0] if ending == ".csv" else rng.choice(self.samples[1:])
        return _named(f"x{ending}", odd.nearly(rng, sample, self.samples, _odd_words))

    def probe(self, data: bytes) -> None:
        from sadtalker_core.motion.blendshape_import import import_blendshapes

        name, content = _name_and_data(data)
        path = self.folder / name
        path.write_bytes(content)
        read = import_blendshapes(path)
        assert len(read.expression) and read.expression.coefficients.isfinite().all(), "weights were read that are none"


class DegreeLists(Doorway):
    def make(self, rng: Random) -> bytes:
        kind = rng.randrange(5)
        values: Any
        if kind == 0:
            values = odd.number(rng)
        elif kind == 1:
            values = [rng.choice((odd.number(rng), rng.uniform(-180, 180))) for _ in range(rng.randrange(5))]
        elif kind == 2:
            values = odd.value(rng)
        else:
            words = [
                str(
                    rng.choice(
                        (
                            rng.randrange(-180, 181),
                            odd.number(rng) if rng.random() < 0.2 else 7,
                            odd.text(rng) if rng.random() < 0.1 else 5,
                        )
                    )
                )
                for _ in range(rng.randrange(6))
            ]
            values = rng.choice((", ", " ", ";", ",,", "\t", "\u3000", "\uff0c")).join(words)
        return odd.json_bytes({"values": values, "frames": rng.choice((1, 2, 25, 1000))})

    def probe(self, data: bytes) -> None:
        import numpy as np

        from sadtalker_core.render.driving import degree_track, parse_degrees

        given = json.loads(data)
        degrees = parse_degrees("yaw", given["values"])
        if degrees:
            track = degree_track(degrees, given["frames"])
            assert len(track) == given["frames"] and np.abs(track).max() <= 180, "angles beyond 180 degrees"


class Table(Doorway):
    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        write_image(folder / "face.png", 70)
        write_sound(folder / "voice.wav")
        (folder / "text.txt").write_text("no picture", encoding="utf-8")

    def make(self, rng: Random) -> bytes:
        from sadtalker_core.options import OPTIONS

        names = ["portrait", "voice", "out", *rng.sample(sorted(OPTIONS), rng.randrange(6))]
        good = {"portrait": "face.png", "voice": "voice.wav", "model": "mini", "precision": "auto", "still": "yes"}
        rows = [names]
        for k in range(rng.randint(1, 4)):
            row = [
                good.get(name, f"v{k}.mp4" if name == "out" else str(getattr(OPTIONS.get(name), "default", "")))
                for name in names
            ]
            if rng.random() < 0.8:
                row[rng.randrange(len(row))] = str(rng.choice((odd.text(rng), odd.number(rng), "text.txt", ".")))
            rows.append(row)
        if rng.random() < 0.2:
            rng.choice(rows).append(odd.text(rng))
        if rng.random() < 0.1:
            rows[0][rng.randrange(len(names))] = odd.text(rng)
        quoted = rng.random() < 0.7
        lines = [",".join('"' + cell.replace('"', '""') + '"' if quoted else cell for cell in row) for row in rows]
        data = rng.choice(("\n", "\r\n", "\r")).join(lines).encode(rng.choice(("utf-8", "utf-8-sig")), "surrogatepass")
        return odd.binary(rng, data) if rng.random() < 0.25 else data

    def probe(self, data: bytes) -> None:
        from sadtalker_core.batch.jobs import read_jobs

        (self.folder / "jobs.csv").write_bytes(data)
        jobs = read_jobs(self.folder / "jobs.csv", [self.folder])
        assert all(job.n_frames > 0 for job in jobs), "a job of no frames"


class Manifest(Doorway):
    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        from dataclasses import asdict

        from sadtalker_core.batch.jobs import read_jobs
        from sadtalker_core.batch.record import DONE, FAILED, Outcome

        write_image(folder / "face.png", 70)
        (folder / "jobs.csv").write_text("portrait,out,idle_seconds\nface.png,a.mp4,1\nface.png,b.mp4,1\n", "utf-8")
        (folder / "a.mp4").write_bytes(b"12345")
        self.jobs = read_jobs(folder / "jobs.csv")
        self.lines = [
            asdict(Outcome(self.jobs[0].id, 2, str(self.jobs[0].out), DONE, "", 1.5, 25, 5, "here 7")),
            asdict(Outcome(self.jobs[1].id, 3, str(self.jobs[1].out), FAILED, "no face found", worker="here 7")),
        ]

    def make(self, rng: Random) -> bytes:
        lines = [
            odd.json_bytes(odd.document(rng, line) if rng.random() < 0.7 else line)
            for line in rng.choices(self.lines, k=rng.randint(1, 4))
        ]
        data = b"\n".join(lines) + b"\n"
        if rng.random() < 0.1:
            data = b"[" * 100_000 + b"\n" + data
        return odd.binary(rng, data, lines) if rng.random() < 0.4 else data

    def probe(self, data: bytes) -> None:
        from sadtalker_core.batch.record import DONE, Outcome, RunFolder, summary, table

        run = self.empty("run")
        (run / "manifest.jsonl").write_bytes(data)
        folder = RunFolder(run)
        found = folder.done_before(self.jobs)
        assert set(found) <= {self.jobs[0].id}, "a video that is not there counts as made"
        table(json.loads(json.dumps(summary(list(found.values()), 1.0, 1))))
        folder.add(Outcome(self.jobs[1].id, 3, str(self.jobs[1].out), DONE, n_bytes=5))
        added = (run / "manifest.jsonl").read_bytes().rsplit(b"\n", 2)[-2]
        assert json.loads(added)["id"] == self.jobs[1].id, "a line was added and cannot be read"


class Images(Doorway):
    needs_host = True

    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        from PIL import Image

        image = write_image(folder / "sample.png", 70)
        self.samples = {"png": (folder / "sample.png").read_bytes()}
        forms = {"jpg": image, "webp": image, "gif": image.convert("P"), "bmp": image, "tif": image, "ppm": image,
                 "16.png": Image.new("I;16", (70, 70), 40_000), "a.png": image.convert("RGBA"), "ico": image,
                 "p.png": image.convert("P"), "l.png": image.convert("1"), "cmyk.jpg": image.convert("CMYK"),
                 "f.tif": image.convert("F")}  # fmt: skip
        for ending, form in forms.items():
            out = io.BytesIO()
            exif = {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}
            kind = {"jpg": "JPEG", "tif": "TIFF"}.get(ending.rpartition(".")[2], ending.rpartition(".")[2].upper())
            form.save(out, kind, **(exif if kind in ("JPEG", "WEBP", "PNG") else {}))
            self.samples[ending] = out.getvalue()

    def make(self, rng: Random) -> bytes:
        ending = rng.choice(sorted(self.samples))
        sample, others = self.samples[ending], list(self.samples.values())
        inner = odd.png if ending.endswith("png") else odd.binary
        if rng.random() < 0.05:
            sample, inner = _bomb(rng), odd.png
            return _named("x.png", sample)
        return _named(f"x.{ending}", odd.nearly(rng, sample, others, inner))

    def probe(self, data: bytes) -> None:
        name, content = _name_and_data(data)
        path = Path(self.host.base) / "input" / name
        path.write_bytes(content)
        images, portrait = self.host.core("face.image_file"), self.host.core("face.portrait")
        node = self.host.nodes.NODE_CLASS_MAPPINGS["SadTalkerLoadPortrait"]
        refused = None
        for read in (
            lambda: images.check_image_file(path),
            lambda: portrait.portrait_from_image(images.read_image(content)),
            lambda: node.execute(name, 0, "largest"),
        ):
            try:
                read()
            except Exception as error:  # noqa: BLE001 (the caller checks it; the other readers have their turn)
                if not is_ours(error):
                    raise
                refused = error
        path.unlink()
        if refused is not None:
            raise refused


def _bomb(rng: Random) -> bytes:
    """A small PNG that says it is large."""
    import struct
    import zlib

    side = rng.choice((14_000, 20_000, 60_000))
    head = struct.pack(">IIBBBBB", side, side, 8, rng.choice((0, 2)), 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


class Sounds(Doorway):
    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        import av
        import numpy as np

        wave = write_sound(folder / "sample.wav").read_bytes()
        words = b"Gr\xfc\xdfe, \xc4rger\0\0"
        sizes = [size.to_bytes(4, "little") for size in (12 + len(words), len(words))]
        title = b"LIST" + sizes[0] + b"INFOINAM" + sizes[1] + words
        self.samples = [wave, wave[:12] + title + wave[12:], b"RIFF\0\0\0\0WAVE"]
        for kind, codec in (
            ("wav", "pcm_u8"),
            ("wav", "pcm_f32le"),
            ("flac", "flac"),
            ("ogg", "libvorbis"),
            ("mp3", "libmp3lame"),
            ("mp4", "aac"),
            ("wav", "pcm_s24le"),
        ):
            out = io.BytesIO()
            try:
                av.codec.Codec(codec, "w")
                with av.open(out, "w", format=kind) as container:
                    stream = container.add_stream(codec, rate=16_000, layout="mono")
                    form = {"flt": np.float32, "fltp": np.float32, "u8": np.uint8, "s32": np.int32}.get(
                        stream.format.name, np.int16
                    )
                    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), form), stream.format.name, "mono")
                    frame.sample_rate = 16_000
                    for packet in (*stream.encode(frame), *stream.encode(None)):
                        container.mux(packet)
            except (av.FFmpegError, ValueError):  # an ffmpeg without that encoder
                continue
            self.samples.append(out.getvalue())

    def make(self, rng: Random) -> bytes:
        return odd.binary(rng, rng.choice(self.samples), self.samples)

    def probe(self, data: bytes) -> None:
        from sadtalker_core.audio.speech import encode_speech
        from sadtalker_core.media import audio_seconds, read_audio

        path = self.folder / "x.wav"
        path.write_bytes(data)
        refused = None
        try:
            assert audio_seconds(path) >= 0, "a voice of negative length"
        except Exception as error:  # noqa: BLE001 (the caller checks it)
            if not is_ours(error):
                raise
            refused = error
        waveform, rate_hz = read_audio(data)
        encode_speech(waveform, rate_hz)
        if refused is not None:
            raise refused


class Fetch(Doorway):
    """The server says what the input tells it to, one answer a connection, and then serves the file as it should."""

    CONTENT = bytes(range(256)) * 20

    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        self.answers: list[dict] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def make(self, rng: Random) -> bytes:
        heads = {
            "Content-Length": (str(len(self.CONTENT)), "0", "-1", "12abc", "", "9" * 400, "1e3", "5, 5", "\u00b2"),
            "Content-Range": ("bytes 0-9/10", "bytes 5-/*", "bytes x-y/z", "bytes 0-5119/99999999999999999999", "\xff"),
            "Location": ("http://[::1", "/models/x", "http://127.0.0.1:{port}/x", "file:///etc/passwd", "http://\x7f/",
                         "//", "ftp://127.0.0.1/x", "http://a b/", "http://127.0.0.1:99999/x", "x" * 70_000),
            "Transfer-Encoding": ("chunked", "gzip, chunked", "identity"),
            "Content-Encoding": ("gzip",),
            "Content-Type": ("text/html; charset=x",),
        }  # fmt: skip
        answers = []
        for _ in range(rng.randrange(4)):
            chosen = rng.sample(sorted(heads), rng.randrange(4))
            status = rng.choice(
                (
                    "200 OK",
                    "206 Partial",
                    "301 M",
                    "302 F",
                    "404 N",
                    "416 R",
                    "429 T",
                    "500 S",
                    "99 x",
                    "abc",
                    "200",
                    "204 N",
                    "100 Continue",
                    "\xff",
                )
            )
            head = f"HTTP/1.{rng.choice('0119')} {status}\r\n" + "".join(
                f"{name}: {rng.choice(heads[name])}\r\n" for name in chosen
            )
            body = self.CONTENT[: rng.choice((0, 1, 100, 5119, 5120))]
            kind = rng.randrange(6)
            if kind == 0:
                body = odd.binary(rng, body)
            elif kind == 1:
                body = b"5\r\nabcde\r\n" + rng.choice((b"0\r\n\r\n", b"zz\r\n", b"-5\r\nx", b"ffffffffffffffff\r\n"))
            sent = head.encode("latin-1", "replace") + b"\r\n" + body
            if rng.random() < 0.15:
                sent = odd.binary(rng, sent)
            answers.append(
                {"send": base64.b64encode(sent).decode(), "endless": rng.random() < 0.1, "reset": rng.random() < 0.1}
            )
        address = f"http://127.0.0.1:{{port}}/{odd.text(rng)[:300]}" if rng.random() < 0.1 else None
        return odd.json_bytes(
            {
                "answers": answers,
                "size": rng.random() < 0.8,
                "url": odd.text(rng) if rng.random() < 0.05 else address,
                "part": rng.choice((None, None, 0, 100, 5120, 6000)),
            }
        )

    def probe(self, data: bytes) -> None:
        from sadtalker_core.checkpoint.catalog import WeightsFile
        from sadtalker_core.checkpoint.fetch import fetch

        given = json.loads(data)
        folder = self.empty("models")
        if given["part"] is not None:
            (folder / "x.safetensors.part").write_bytes((self.CONTENT * 2)[: given["part"]])
        self.answers = list(given["answers"])
        sha = hashlib.sha256(self.CONTENT).hexdigest()
        file = WeightsFile(
            "x.safetensors", len(self.CONTENT) if given["size"] else None, sha, "https://nowhere.invalid/x"
        )
        url = (given["url"] or "http://127.0.0.1:{port}/models").replace("{port}", str(self.port))
        try:
            path = fetch(file, folder, base_url=url, pause_s=0.0)
            assert path.read_bytes() == self.CONTENT, "another file got its name"
        finally:
            n_bytes = sum(path.stat().st_size for path in folder.iterdir())
            assert not given["size"] or n_bytes <= 6000 + 2 * len(self.CONTENT), f"{n_bytes} bytes on the disk"

    def _serve(self) -> None:
        while True:
            connection, _ = self.server.accept()
            with connection:
                connection.settimeout(1.0)
                with suppress(OSError):  # it hung up; many of these answers deserve that
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            more = connection.recv(65_536)
            if not more:
                return
            asked += more
        if not self.answers:
            start = 0
            for line in asked.decode("latin-1").split("\r\n"):
                if line.lower().startswith("range: bytes="):
                    start = int(line.split("=")[1].rstrip("-"))
            n, rest = len(self.CONTENT), self.CONTENT[start:]
            head = f"206 P\r\nContent-Range: bytes {start}-{n - 1}/{n}" if start else "200 OK"
            connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {len(rest)}\r\n\r\n".encode() + rest)
            return
        answer = self.answers.pop(0)
        sent = base64.b64decode(answer["send"]).replace(b"{port}", str(self.port).encode())
        connection.sendall(sent)
        for _ in range(256 if answer["endless"] else 0):
            connection.sendall(bytes(65_536))
        if answer["reset"]:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Names(Doorway):
    needs_host = True
    PLACES = ("prefix of a video", "prefix of a track", "track", "portrait", "model", "out of a job")

    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        import torch

        types = host.core("datatypes")
        self.pose = types.HeadPose(torch.zeros(3, 6), types.MINI)
        self.frames = torch.zeros(2, 16, 16, 3)
        write_image(folder / "face.png", 70)

    def make(self, rng: Random) -> bytes:
        name = odd.text(rng)
        if rng.random() < 0.3:
            name = rng.choice(("sadtalker/", "a b/", "./")) + name
        if rng.random() < 0.3:
            name += rng.choice((".mp4", ".track.safetensors", ".png", " [output]", " [input]", " [temp]", "/"))
        return odd.json_bytes({"place": rng.choice(self.PLACES), "name": name})

    def probe(self, data: bytes) -> None:
        given = json.loads(data)
        name, base = given["name"], Path(self.host.base)
        before = self._all_files(base)
        getattr(self, "_" + given["place"].replace(" ", "_"))(name)
        added = self._all_files(base) - before
        assert all(path.is_relative_to(base / "output") for path in added), f"{added} outside the output folder"
        shutil.rmtree(base / "output", ignore_errors=True)
        (base / "output").mkdir()

    @staticmethod
    def _all_files(base: Path) -> set[Path]:
        return {
            path
            for name in ("output", "input", "models", "temp", "user")
            for path in (base / name).rglob("*")
            if path.is_file()
        }

    def _node(self, name: str) -> Any:
        return self.host.nodes.NODE_CLASS_MAPPINGS[name]

    def _prefix_of_a_video(self, name: str) -> None:
        node = self._node("SadTalkerVideoCombine")
        for _ in range(2):
            node.execute(self.frames, 25.0, name, "draft")
        made = [path for path in self._all_files(Path(self.host.base)) if path.suffix == ".mp4"]
        assert len(made) == 2, f"two videos were made and {len(made)} are there"

    def _prefix_of_a_track(self, name: str) -> None:
        node = self._node("SadTalkerSaveTrack")
        for _ in range(2):
            node.execute(name, pose=self.pose)
        made = [path for path in self._all_files(Path(self.host.base)) if path.name.endswith(".track.safetensors")]
        assert len(made) == 2, f"two tracks were saved and {len(made)} are there"

    def _track(self, name: str) -> None:
        node = self._node("SadTalkerLoadTrack")
        node.validate_inputs(name)
        node.fingerprint_inputs(name)
        node.execute(name)

    def _portrait(self, name: str) -> None:
        node = self._node("SadTalkerLoadPortrait")
        if node.validate_inputs(name) is True:
            node.execute(name, 0, "largest")

    def _model(self, name: str) -> None:
        node = self._node("SadTalkerLoadModel")
        node.fingerprint_inputs(name, "auto", False)
        node.execute(name, "auto", False)

    def _out_of_a_job(self, name: str) -> None:
        table = self.folder / "jobs.csv"
        cell = name.replace('"', '""')
        table.write_bytes(f'portrait,out,idle_seconds\nface.png,"{cell}",1\n'.encode("utf-8", "surrogatepass"))
        self.host.core("batch.jobs").read_jobs(table)


class Nodes(Doorway):
    """Each node of the pack with one to three of its inputs odd; the others as in a graph that works."""

    needs_host = True
    #: so much is a long job, and no fault
    LARGEST = {"idle_seconds": 2.0, "frames": 2000, "width": 640, "height": 640, "size": 256, "fps": 240.0}

    def __init__(self, folder: Path, host: Host = None):
        super().__init__(folder, host)
        import torch
        from PIL import Image
        from skimage.data import astronaut

        from tests.nodes.inside import graphs

        Image.fromarray(astronaut()).save(Path(host.base) / "input" / "astronaut.png")
        outcome = host.run(graphs.talking(idle_seconds=0.2))
        if outcome.error:
            raise RuntimeError(f"the graph that should work did not: {outcome.error}")
        self.wires = {
            "SADTALKER_MODEL": host.value("model"), "SADTALKER_PORTRAIT": host.value("extract"),
            "SADTALKER_COEFFICIENTS": host.value("extract", 1), "SADTALKER_SPEECH": host.value("speech"),
            "SADTALKER_EXPRESSION": host.value("expnet"), "SADTALKER_POSE": host.value("posevae"),
            "SADTALKER_MOTION": host.value("mapping"), "IMAGE": host.value("render")[:2],
            "MASK": torch.ones(1, 512, 512), "AUDIO": {"waveform": torch.zeros(1, 1, 4000), "sample_rate": 16_000},
            "VIDEO": None,
        }  # fmt: skip
        self.schemas = {
            name: node.GET_SCHEMA()
            for name, node in host.nodes.NODE_CLASS_MAPPINGS.items()
            if name.startswith("SadTalker")
        }

    def make(self, rng: Random) -> bytes:
        name = rng.choice(sorted(self.schemas))
        inputs = self.schemas[name].inputs
        given = {entry.id: odd_input(rng, entry) for entry in rng.sample(inputs, min(len(inputs), rng.randint(1, 3)))}
        return odd.json_bytes({"node": name, "inputs": {key: held for key, held in given.items() if held is not None}})

    def probe(self, data: bytes) -> None:
        given = json.loads(data)
        inputs = {}
        for entry in self.schemas[given["node"]].inputs:
            if entry.id in given["inputs"]:
                inputs[entry.id] = as_input(given["inputs"][entry.id])
                if entry.id in self.LARGEST and isinstance(inputs[entry.id], int | float):
                    inputs[entry.id] = min(inputs[entry.id], self.LARGEST[entry.id])
            elif (
                not getattr(entry, "optional", False)
                or entry.id == "background"
                or entry.get_io_type() in ("SADTALKER_EXPRESSION", "SADTALKER_POSE", "SADTALKER_SPEECH")
            ):
                inputs[entry.id] = self._usual(entry)
        if given["node"] == "SadTalkerReferenceVideo":
            inputs.setdefault("frames", self.wires["IMAGE"])
        elif given["node"] == "SadTalkerPasteBack" and "background" not in given["inputs"]:
            inputs.pop("background", None)
        self.host.nodes.NODE_CLASS_MAPPINGS[given["node"]].execute(**inputs)

    def _usual(self, entry: Any) -> Any:
        kind = entry.get_io_type()
        if kind in self.wires:
            return self.wires[kind]
        if entry.id == "image":
            return "astronaut.png"
        default = getattr(entry, "default", None)
        default = getattr(default, "value", default)
        usual = min(default, self.LARGEST[entry.id]) if entry.id in self.LARGEST else default
        return {"idle_seconds": 0.2, "frames": 8}.get(entry.id, usual)


def odd_input(rng: Random, entry: Any) -> Any:
    """An odd value for an input of a node, as JSON; None where a wire carries a record that no user can break."""
    kind = entry.get_io_type()
    if kind in ("FLOAT", "INT"):
        low, high = getattr(entry, "min", 0), getattr(entry, "max", 1)
        number = rng.choice((low, high, odd.number(rng)))
        if kind == "FLOAT":
            return float(number) if abs(number) < 1e308 or isinstance(number, float) else float("inf")
        return int(max(min(number, 2**64), -(2**63))) if number == number else 3
    if kind == "COMBO":
        return odd.text(rng)
    if kind == "STRING":
        return odd.text(rng)[:20_000]
    if kind == "BOOLEAN":
        return rng.choice((True, False, 0, 1, "yes"))
    if kind in ("IMAGE", "MASK"):
        shape = rng.choice(
            (
                (1, 64, 64, 3),
                (2, 70, 80, 4),
                (64, 64, 3),
                (0, 64, 64, 3),
                (1, 0, 64, 3),
                (1, 64, 64, 1),
                (1, 64, 64, 2),
                (1, 1, 1, 3),
                (1, 63, 65, 3),
                (64, 64),
                (1, 64, 64),
                (1, 512, 512),
                (0,),
                (2, 512, 512),
                (1, 1, 64, 64, 3),
                (1, 8, 3000, 3),
                (3, 64, 64, 3),
            )
        )
        dtypes = ("float32", "float32", "float16", "bfloat16", "float64", "uint8", "int64", "bool", "complex64")
        fill = rng.choice((0.0, 0.5, 1.0, 1.0001, -1.0, 1e30, float("nan"), float("inf")))
        return {"tensor": shape, "dtype": rng.choice(dtypes), "fill": fill}
    if kind == "AUDIO":
        shape = rng.choice(
            (
                (1, 1, 4000),
                (1, 2, 4000),
                (1, 0, 4000),
                (1, 1, 0),
                (2, 1, 4000),
                (4000,),
                (2, 4000),
                (0,),
                (1, 1, 1),
                (1, 6, 4000),
                (1, 1, 1, 4000),
            )
        )
        rate = rng.choice((16_000, 48_000, 1, 8, 0, -1, 2**31, 10**9, "16000", None, float("nan"), 44_100.5, [16_000]))
        audio = {
            "waveform": {
                "tensor": shape,
                "dtype": rng.choice(("float32", "int16", "float64", "bool")),
                "fill": rng.choice((0.0, 0.1, 1e9, float("nan"))),
            },
            "sample_rate": rate,
        }
        if rng.random() < 0.1:
            audio["waveform"] = None
        if rng.random() < 0.1:
            del audio[rng.choice(sorted(audio))]
        return {"audio": audio}
    return None


def as_input(held: Any) -> Any:
    """What `odd_input` has described."""
    import torch

    if isinstance(held, dict) and "tensor" in held:
        dtype = getattr(torch, held["dtype"])
        fill = held["fill"] if dtype.is_floating_point or dtype.is_complex else abs(held["fill"]) < 2
        return torch.tensor(fill).to(dtype).repeat(*held["tensor"])  # 1e30 is infinite in half precision
    if isinstance(held, dict) and "audio" in held:
        return {name: as_input(part) for name, part in held["audio"].items()}
    return held


def write_image(path: Path, side: int) -> Any:
    from PIL import Image

    image = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    image.save(path)
    return image


def write_sound(path: Path) -> Path:
    import numpy as np

    from tests.waves import write_wave

    return write_wave(path, np.sin(np.arange(1600) / 20) * 0.3)


def is_ours(error: BaseException) -> bool:
    """Whether it is one of the pack's own; inside ComfyUI the pack bears another name, and so do its classes."""
    return any(kind.__name__ == "SadTalkerError" for kind in type(error).__mro__)


DOORWAYS: dict[str, Callable[..., Doorway]] = {
    "weights": Weights, "tracks": Tracks, "degrees": DegreeLists, "table": Table, "manifest": Manifest,
    "pictures": Images, "sounds": Sounds, "nodes": Nodes, "names": Names, "fetch": Fetch,
    "turns": Turns, "blendshapes": BlendshapeFiles,
}  # fmt: skip


def open_doorway(name: str, folder: Path) -> Doorway:
    """The doorway with all that it needs, a ComfyUI too."""
    kind = DOORWAYS[name]
    host = None
    if kind.needs_host:  # type: ignore[attr-defined]
        from tests.tools.comfyui import environment
        from tests.tools.comfyui.inside.host import Host as RealHost
        from tests.tools.comfyui.layout import PACK_NAME, make_base

        base = make_base(folder / "base")
        host = RealHost(str(environment.find_own().tree), str(base), str(base / "custom_nodes" / PACK_NAME))
    return kind(folder / name, host)


__all__ = ["DOORWAYS", "Doorway", "is_ours", "open_doorway"]
