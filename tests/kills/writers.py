"""What writes files, each as a small action that can be done in a folder, killed there, and done again.

    render    Render Video, which keeps a partial video     download  a weights file from a server on this machine
    combine   Video Combine                                 train     a training that saves at every second step
    track     Save Track                                    batch     a table of two jobs, without Ray
    dub       Dub Video, which keeps a partial video

`act` runs in the process that may be killed; `faults` reads what lies in the folder then: every file that bears its
final name has to be whole, and when the action has been done again nothing else may be there.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.server
import importlib
import json
import re
import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar


class Writer:
    """files: patterns of the paths that may be in the folder in the end."""

    files: ClassVar[tuple[str, ...]]

    def __init__(self, host: Any):
        """In the process that is forked for every run: whatever is slow to make. host: see inside/host.py"""
        self.host = host

    def prepare(self, folder: Path) -> None:
        """What is there before the action, which nobody kills."""

    def act(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def faults(cls, folder: Path, finished: bool) -> list[str]:
        """finished: the action has come to its end; otherwise it was killed."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(folder).as_posix() for path in paths]
        known = [any(fnmatch.fnmatchcase(name, pattern) for pattern in cls.files) for name in names]
        found = [
            f"{name} is broken: {why}"
            for name, path, ours in zip(names, paths, known, strict=True)
            if ours and (why := cls.broken(path))
        ]
        if finished:
            found += [f"{name} stays" for name, ours in zip(names, known, strict=True) if not ours]
            found += cls.missing(folder)
        return found

    @classmethod
    def broken(cls, path: Path) -> str:
        """Why a file with a final name is not whole, or nothing."""
        raise NotImplementedError

    @classmethod
    def missing(cls, folder: Path) -> list[str]:
        """What should be there in the end and is not."""
        return [] if list(folder.glob(cls.files[0])) else [f"there is no {cls.files[0]}"]


def broken_video(path: Path) -> str:
    """Why it cannot be played to its end, or nothing."""
    import av

    try:
        with av.open(str(path)) as container:
            return "" if sum(1 for _ in container.decode(video=0)) else "it has no frame"
    except (av.FFmpegError, IndexError) as error:
        return f"{type(error).__name__} {error}"


def _node(host: Any, name: str, folder: Path) -> Any:
    """A node of the pack that writes into this folder."""
    host.folder_paths.set_output_directory(str(folder))
    return host.nodes.NODE_CLASS_MAPPINGS[name]


class Render(Writer):
    files = ("film_*.mp4",)

    def __init__(self, host: Any):
        super().__init__(host)
        from tests.nodes.inside import graphs

        graph = graphs.talking(idle_seconds=0.4)
        del graph["render"], graph["video"]
        graph["plot"] = graphs.motion_preview()
        graph["show"] = {"class_type": "PreviewImage", "inputs": {"images": ["plot", 0]}}
        outcome = host.run(graph)
        if outcome.error:
            raise RuntimeError(f"the graph that should work did not: {outcome.error}")
        self.wires = host.value("model"), host.value("extract"), host.value("mapping")

    def act(self, folder: Path) -> None:
        import torch

        voice = {"waveform": torch.zeros(1, 1, 8000), "sample_rate": 16_000}
        _node(self.host, "SadTalkerRenderVideo", folder).execute(
            *self.wires,
            paste_back=False,
            feather=0.1,
            colour_match=1.0,
            batch_size=2,
            quality="draft",
            filename_prefix="film",
            keep_partial=True,
            audio=voice,
        )

    @classmethod
    def broken(cls, path: Path) -> str:
        return broken_video(path)


class Dub(Writer):
    files = ("dubbed_*.mp4",)

    def __init__(self, host: Any):
        super().__init__(host)
        from tests.dub.videos import gliding

        residency = importlib.import_module(f"{host.pack.__name__}.nodes.residency")
        self.model = residency.wrap_in_patchers(host.core("model").load_model("mini", []), "fp32")
        self.frames = gliding(4, 200)

    def act(self, folder: Path) -> None:
        import torch

        audio = {"waveform": torch.zeros(1, 1, 2560), "sample_rate": 16_000}
        _node(self.host, "SadTalkerDubVideo", folder).execute(
            self.model, "cut", 1.0, 0.0, 0.0, 0, "largest", "draft", 25.0, "dubbed", True,
            frames=self.frames, audio=audio,
        )  # fmt: skip

    @classmethod
    def broken(cls, path: Path) -> str:
        return broken_video(path)


class Combine(Writer):
    files = ("talk_*.mp4",)

    def act(self, folder: Path) -> None:
        import torch

        voice = {"waveform": torch.zeros(1, 1, 12_000), "sample_rate": 16_000}
        frames = torch.linspace(0, 1, 18)[:, None, None, None].expand(18, 32, 32, 3)
        _node(self.host, "SadTalkerVideoCombine", folder).execute(frames, 25.0, "talk", "draft", audio=voice)

    @classmethod
    def broken(cls, path: Path) -> str:
        return broken_video(path)


class Track(Writer):
    files = ("head_*.track.safetensors",)

    def act(self, folder: Path) -> None:
        import torch

        types = self.host.core("datatypes")
        pose = types.HeadPose(torch.zeros(2000, 6), types.MINI)
        _node(self.host, "SadTalkerSaveTrack", folder).execute("head", pose=pose)

    @classmethod
    def broken(cls, path: Path) -> str:
        from sadtalker_core.errors import OptionError
        from sadtalker_core.motion.track_file import load_tracks

        try:
            return "" if load_tracks(path).n_frames == 2000 else "it has other frames"
        except OptionError as error:
            return str(error)


class Download(Writer):
    CONTENT = bytes(range(256)) * 8000
    files = ("x.safetensors",)

    def __init__(self, host: Any):
        super().__init__(host)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Serves)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def act(self, folder: Path) -> None:
        from sadtalker_core.checkpoint.catalog import WeightsFile
        from sadtalker_core.checkpoint.fetch import fetch

        sha = hashlib.sha256(self.CONTENT).hexdigest()
        fetch(
            WeightsFile("x.safetensors", len(self.CONTENT), sha, "https://nowhere.invalid/x"),
            folder,
            base_url=self.url,
            pause_s=0.01,
        )

    @classmethod
    def broken(cls, path: Path) -> str:
        return "" if path.read_bytes() == cls.CONTENT else "it is another file"


class _Serves(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = Download.CONTENT
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        try:
            self.wfile.write(content[start:])
        except OSError:  # who asked was killed
            self.close_connection = True

    def log_message(self, *arguments):
        pass


class Train(Writer):
    files = ("state.pt", "state_1.pt", "state_2.pt", "log.jsonl", "run.json", "tensorboard/*")

    def __init__(self, host: Any):
        super().__init__(host)
        import lightning_fabric  # noqa: F401 (slow)
        import torch.utils.tensorboard  # noqa: F401 (slow)

    def act(self, folder: Path) -> None:
        from sadtalker_core.training.engine import train
        from tests.training.two_players import TwoPlayers, run_of

        train(TwoPlayers(), run_of(folder, steps=6, save_every=2, report_every=2))

    @classmethod
    def broken(cls, path: Path) -> str:
        from sadtalker_core.training.engine import steps_done
        from sadtalker_core.training.run_log import read_log
        from sadtalker_core.training.states import read_state_file

        try:
            if path.name.startswith("state"):
                read_state_file(path)
            if path.name == "state.pt":
                return "" if steps_done(path.parent) in (2, 4, 6) else "it is of another step"
            if path.name == "log.jsonl":
                steps = [line["step"] for line in read_log(path.parent)]
                return "" if steps == [2, 4, 6][: len(steps)] else f"its lines are of the steps {steps}"
            if path.name == "run.json":
                return "" if json.loads(path.read_text(encoding="utf-8"))["batch"] == 4 else "it says something else"
        except (ValueError, KeyError, RuntimeError, OSError, EOFError) as error:
            return f"{type(error).__name__} {error}"
        return ""

    @classmethod
    def missing(cls, folder: Path) -> list[str]:
        from sadtalker_core.training.engine import steps_done
        from sadtalker_core.training.run_log import read_log

        done, steps = steps_done(folder), [line["step"] for line in read_log(folder)]
        return [] if done == 6 and steps == [2, 4, 6] else [f"step {done}, and lines of the steps {steps}"]


class Batch(Writer):
    files = ("[ab].mp4", "jobs.csv", "face.png", "jobs.run/manifest.jsonl", "jobs.run/report.json", "jobs.run/*.lock")

    def __init__(self, host: Any):
        super().__init__(host)
        from sadtalker_core.batch import __main__ as command
        from sadtalker_core.batch.worker import Worker

        self.worker, self.command = Worker(n_threads=1), command
        with tempfile.TemporaryDirectory() as folder:
            self.prepare(Path(folder))
            self.act(Path(folder))  # the worker has its networks from now on

    def prepare(self, folder: Path) -> None:
        from PIL import Image
        from skimage.data import astronaut

        (folder / "tmp").mkdir(exist_ok=True)
        if not (folder / "jobs.csv").exists():
            Image.fromarray(astronaut()).save(folder / "face.png")
            (folder / "jobs.csv").write_text(
                "portrait,out,idle_seconds,quality\nface.png,a.mp4,0.08,draft\nface.png,b.mp4,0.12,draft\n",
                encoding="utf-8",
            )

    def act(self, folder: Path) -> None:
        tempfile.tempdir = str(folder / "tmp")
        self.command.WorkerPool = lambda options, n: _Alone(self.worker)  # type: ignore[assignment,misc]
        try:
            if self.command.main([str(folder / "jobs.csv")]):
                raise RuntimeError("the batch did not make its videos")
        finally:
            tempfile.tempdir = None

    @classmethod
    def broken(cls, path: Path) -> str:
        if path.suffix == ".mp4":
            return broken_video(path)
        if path.name == "report.json":
            return "" if path.read_bytes().endswith(b"}\n") else "it is cut short"
        return ""

    @classmethod
    def missing(cls, folder: Path) -> list[str]:
        report = json.loads((folder / "jobs.run" / "report.json").read_text(encoding="utf-8"))
        videos = [name for name in ("a.mp4", "b.mp4") if not (folder / name).is_file()]
        left = [path.name for path in (folder / "tmp").iterdir()]
        made = report["done"] + report["done_before"]
        return [
            *(f"{name} was not made" for name in videos),
            *(f"the temporary folder {name} stays" for name in left),
            *([] if made == 2 else [f"the report knows {made} videos of 2"]),
        ]


class _Alone:
    """The worker pool of a batch, in this process."""

    size = 1

    def __init__(self, worker: Any):
        self.worker, self.queue = worker, []

    def __enter__(self) -> _Alone:
        self.worker.ping()
        return self

    def __exit__(self, *_) -> None:
        pass

    def ask(self, call: Any, *, first: bool = False) -> Any:
        self.queue.append(call)
        return call

    @property
    def busy(self) -> bool:
        return bool(self.queue)

    def wait(self, timeout_s: float) -> None:
        if self.queue:
            call = self.queue.pop(0)
            call.result = self.worker.do(call.task, *call.args())
            if call.callback is not None:
                call.callback(call)


WRITERS: dict[str, type[Writer]] = {
    "render": Render, "combine": Combine, "track": Track, "download": Download, "train": Train, "batch": Batch,
    "dub": Dub,
}  # fmt: skip

__all__ = ["WRITERS", "Writer"]
