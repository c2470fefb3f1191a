"""Many prompts through the queue of one ComfyUI server: do memory, open files, threads and time per prompt stay flat?

    python -m tests.tools.bench.load                                   200 short prompts, 50 with changing inputs
    python -m tests.tools.bench.load --prompts 20 --changing 10        less; --json load.json

In: a real ComfyUI (make setup), the portrait that comes with scikit-image, half a second of the demo's voice at most;
the model is the built-in one. Out: a table and JSON; the exit status is 1 when something is not flat, not right or not
there.

    short      queued all at once; every prompt has seeds of its own, every other one uses Render Video
    changing   other portraits, voices, seeds, crop modes; every fifth time another precision and the memory freed, so
               that the model is loaded again
    clients    two at once: each gets its own videos, all of them
    cancel     one prompt is taken out of the queue, the running one is interrupted, the next one runs

Flat: the median of the last quarter is above that of the second quarter by no more than its bound. (The first quarter
fills caches.) Bounds are for that distance of half the prompts. Time by the clock has one for the eye only, since other
programs may come and go; so the work of a prompt is judged, which is the processor time of the server's process and of
the encoders that it has waited for: as it is, and in units of a small convolution that is timed after each prompt.
Whoever shares caches and clock with us makes both longer, what a server keeps of every prompt makes the work alone
longer; so either of the two within its factor is flat.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.nodes.inside.graphs import talking
from tests.tools.bench.measuring import load, machine
from tests.tools.comfyui import environment, media
from tests.tools.comfyui.client import Client, ClientError, Progress, RunInterrupted
from tests.tools.comfyui.environment import Environment
from tests.tools.comfyui.layout import make_base, remove_base
from tests.tools.comfyui.server import Server
from tests.tools.comfyui.websocket import Websocket

VOICE_SECONDS = (0.4, 0.3, 0.5)
SIDES = (256, 320, 288)
CROP_MODES = ("crop", "full", "resize")
PRECISIONS = ("fp32", "bf16", "auto")
RELOADED_EVERY = 5
#: so many prompts of `changing` have had every portrait, voice, crop mode and precision
ALL_KINDS = max(len(SIDES) * len(CROP_MODES), RELOADED_EVERY * len(PRECISIONS))
#: from the second quarter to the last one
BOUNDS = {"memory_mb": 30.0, "files": 1.0, "threads": 1.0, "programs": 0.0, "temporary": 0.0}
FOR_THE_EYE = {"seconds": 1.25}
#: processor seconds of a prompt, as they are and in small convolutions: times as much in the last quarter
WORK, WORK_FACTOR = ("cpu_s", "small_convolutions"), 1.2
#: fewer prompts have too few in a quarter for that
ENOUGH_FOR_WORK = 40
NO_WORK = "the processor time of the server's process is not to be had here: nothing is said about the work of a prompt"
PATIENCE_S = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200, help="short prompts, at least 8")
    parser.add_argument("--changing", type=int, default=50, help="prompts with changing inputs, at least 8")
    parser.add_argument("--minutes", type=float, default=60.0, help="the most for each of both; what came is judged")
    parser.add_argument("--json", type=Path, default=Path("load.json"))
    asked = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    print(found["machine"], flush=True)
    with tempfile.TemporaryDirectory() as folder, loaded_server(environment.find(), Path(folder)) as server:
        begun = time.monotonic()
        for name, work in (("short", lambda: short(server, asked.prompts, 60 * asked.minutes)),
                           ("changing", lambda: changing(server, asked.changing, 60 * asked.minutes)),
                           ("clients", lambda: two_clients(server)),
                           ("cancel", lambda: cancel(server))):  # fmt: skip
            found[name] = work()
            found[name] |= {"load": load(), "took_s": time.monotonic() - begun}
            print(table(name, found[name]), flush=True)
            asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    complaints = [f"{name}: {words}" for name, row in found.items() for words in row.get("complaints", [])]
    print("\n".join(complaints) or "flat, and everything came")
    return bool(complaints)


def table(name: str, row: dict[str, Any]) -> str:
    lines = [f"{name}: {row['prompts']} prompts, {row['took_s']:.0f} s since the start, load {row['load']}"]
    for what, drift in row.get("drift", {}).items():
        bound = f"{drift['bound']:g} times" if what in (*FOR_THE_EYE, *WORK) else f"{drift['bound']:g}"
        lines.append(
            f"  {what:18} second quarter {drift['before']:8.2f}   last quarter {drift['after']:8.2f}   "
            f"a prompt {drift['each']:+9.4f}   bound {bound}"
        )
    if "drift" in row and not row["drift"].keys() & set(WORK):
        lines.append(f"  {NO_WORK}")
    return "\n".join(lines + [f"  {key}: {row[key]:.2f}" for key in ("interrupted_after_s",) if key in row])


# ------------------------------------------------------------------------------------------------------- the server


@contextmanager
def loaded_server(comfyui: Environment, folder: Path) -> Iterator[Server]:
    """A server with portraits and voices in its input folder, and a folder of its own for temporary files."""
    base = make_base(folder / "base")
    fill(comfyui, base / "input")
    temporary = folder / "temporary"
    temporary.mkdir()
    try:
        with Server(comfyui, base, cpu=True, env={"TMPDIR": str(temporary)}) as server:
            yield server
    finally:
        remove_base(base)


def fill(comfyui: Environment, folder: Path) -> None:
    """portrait0.png… and voice0.wav…, as small and as short as SIDES and VOICE_SECONDS say."""
    from PIL import Image

    with Image.open(media.default_portrait(comfyui)) as sample_image:
        for k, side in enumerate(SIDES):
            sample_image.convert("RGB").crop((60, 0, 400, 340)).resize((side, side)).save(folder / f"portrait{k}.png")
    for k, seconds in enumerate(VOICE_SECONDS):
        media.beginning(comfyui, media.VOICE, seconds, folder / f"voice{k}.wav")


def prompt(k: int, name: str, *, kind: int = 0, streamed: bool = False, **changes: Any) -> dict[str, Any]:
    """The pipeline with seeds k, into output/load/<name>…; kind: which portrait, voice, crop mode."""
    graph = talking(
        voice=f"voice{kind % 3}.wav",
        image=f"portrait{kind % len(SIDES)}.png",
        **{
            "expnet.seed": k,
            "posevae.seed": k,
            "posevae.pose_style": k % 46,
            "video.filename_prefix": f"load/{name}",
            "extract.crop_mode": CROP_MODES[kind // 3 % len(CROP_MODES)],
            **changes,
        },
    )
    if streamed:
        del graph["render"]
        graph["video"] = {
            "class_type": "SadTalkerRenderVideo",
            "inputs": {
                "model": ["model", 0],
                "portrait": ["extract", 0],
                "motion": ["mapping", 0],
                "audio": ["voice", 0],
                "paste_back": False,
                "feather": 0.1,
                "colour_match": 1.0,
                "batch_size": 0,
                "quality": "draft",
                "filename_prefix": f"load/{name}",
                "keep_partial": False,
            },
        }
    return graph


# ------------------------------------------------------------------------------------------------------ what is held


def held(server: Server) -> dict[str, float]:
    """What the server's process holds at this moment."""
    import psutil

    process = psutil.Process(server.pid)
    with process.oneshot():
        return {
            "memory_mb": process.memory_info().rss / 1e6,
            "files": process.num_handles() if sys.platform == "win32" else process.num_fds(),
            "threads": process.num_threads(),
            "programs": len(process.children(recursive=True)),
            "temporary": sum(
                1 for place in (server.base / "temp", server.base.parent / "temporary") for _ in place.rglob("*")
            ),
        }


class Work:
    """What the server's process has worked since it was last asked; nothing where this system does not tell."""

    def __init__(self, server: Server) -> None:
        self.server, self.last = server, processor_seconds_of(server.pid)

    def since(self) -> dict[str, float]:
        now = processor_seconds_of(self.server.pid)
        if now is None or self.last is None:
            return {}
        spent, self.last = now - self.last, now
        return {"cpu_s": spent, "small_convolutions": spent / small_convolution()}


def processor_seconds_of(number: int) -> float | None:
    """Of the process of that number and, on Linux, of those that it has waited for (elsewhere they are not counted);
    None where nobody may know.
    """
    import psutil

    try:
        times = psutil.Process(number).cpu_times()
    except psutil.Error:
        return None
    return times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)


def small_convolution() -> float:
    """Processor seconds of a 3 x 3 convolution 128 -> 128 at 64 x 64 on one thread, the best of five."""
    import torch

    torch.set_num_threads(1)
    image, kernel = torch.ones(1, 128, 64, 64), torch.ones(128, 128, 3, 3)
    times = []
    for _ in range(5):
        started = time.process_time()
        torch.nn.functional.conv2d(image, kernel, padding=1)
        times.append(time.process_time() - started)
    return min(times)


def drift(values: Sequence[float], bound: float) -> dict[str, float]:
    """The medians of the second and of the last quarter, and what that is for each prompt."""
    quarter = len(values) // 4
    before, after = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
    return {"before": before, "after": after, "each": (after - before) / (len(values) - 2 * quarter), "bound": bound}


def assessed(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Samples, one for each prompt -> their drifts, and complaints about what is not flat."""
    drifts = {what: drift([sample[what] for sample in samples], bound) for what, bound in BOUNDS.items()}
    complaints = [
        f"{what} is not flat: {found['before']:.2f}, then {found['after']:.2f} (bound {found['bound']:g})"
        for what, found in drifts.items()
        if found["after"] - found["before"] > found["bound"]
    ]
    drifts |= {what: drift([sample[what] for sample in samples], bound) for what, bound in FOR_THE_EYE.items()}
    if all(what in sample for sample in samples for what in WORK):
        work = {what: drift([sample[what] for sample in samples], WORK_FACTOR) for what in WORK}
        drifts |= work
        rises = all(found["after"] > WORK_FACTOR * found["before"] for found in work.values())
        if rises and len(samples) >= ENOUGH_FOR_WORK:
            was, now = work["cpu_s"]["before"], work["cpu_s"]["after"]
            complaints.append(
                f"the work of a prompt is not flat: {was:.2f} s, then {now:.2f} s (bound {WORK_FACTOR:g} times)"
            )
    return {"prompts": len(samples), "drift": drifts, "samples": samples, "complaints": complaints}


# -------------------------------------------------------------------------------------------------------- four loads


def short(server: Server, n_prompts: int, limit_s: float = 3600.0) -> dict[str, Any]:
    """All are queued at once; looked at whenever one has ended. When time is up, the queue is emptied."""
    client = Client(server.url)
    where = urlsplit(server.url)
    socket = Websocket(where.hostname or "127.0.0.1", where.port or 80, f"/ws?clientId={client.client_id}")
    try:
        waiting = [client.queue(prompt(k, f"short{k:04}", streamed=bool(k % 2))) for k in range(n_prompts)]
        samples, work, begun = [], Work(server), time.monotonic()
        last = begun
        for prompt_id in waiting:
            _until_it_ends(socket, prompt_id)
            now = time.monotonic()
            samples.append(held(server) | {"seconds": now - last} | work.since())
            last = now
            _tell(len(samples), n_prompts)
            if now - begun > limit_s:
                client.post("/queue", {"clear": True})
                client.interrupt()
                break
    finally:
        socket.close()
    _until_it_is_idle(client)
    row = assessed(samples)
    row["complaints"] += not_made(server, **{f"short{k:04}": 1 for k in range(len(samples))})
    return row


def _tell(done: int, of: int) -> None:
    if done % 25 == 0:
        print(f"  {done} of {of}", file=sys.stderr, flush=True)


def _until_it_ends(socket: Websocket, prompt_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = json.loads(socket.text(timeout=1.0) or "{}")
        if (message.get("data") or {}).get("prompt_id") != prompt_id:
            continue
        if message["type"] == "execution_success":
            return
        if message["type"] in ("execution_error", "execution_interrupted"):
            raise ClientError(f"a prompt did not end well: {message}")
    raise ClientError(f"no prompt ended for {PATIENCE_S:.0f} s")


def _until_it_is_idle(client: Client) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(client.get("/queue").values()) and time.monotonic() < deadline:
        time.sleep(0.1)


def changing(server: Server, n_prompts: int, limit_s: float = 3600.0, name: str = "changing") -> dict[str, Any]:
    """One after the other, each with other inputs; the model is loaded again every so often."""
    client, samples, work, begun = Client(server.url), [], Work(server), time.monotonic()
    for k in range(n_prompts):
        if time.monotonic() - begun > limit_s:
            break
        if k % RELOADED_EVERY == 0:
            client.free()
        precision = PRECISIONS[k // RELOADED_EVERY % len(PRECISIONS)]
        options = prompt(k, f"{name}{k:04}", kind=k, streamed=k % 4 == 1, **{"model.precision": precision})
        run = client.run(options, timeout=PATIENCE_S)
        samples.append(held(server) | {"seconds": run.seconds} | work.since())
        _tell(len(samples), n_prompts)
    row = assessed(samples)
    row["complaints"] += not_made(server, **{f"{name}{k:04}": 1 for k in range(len(samples))})
    return row


def two_clients(server: Server, each: int = 5) -> dict[str, Any]:
    """Both ask at the same time; what each was shown, and what it should have been shown."""
    shown: dict[str, list[str]] = {"anna": [], "bert": []}
    complaints: list[str] = []

    def ask(name: str, first_seed: int) -> None:
        client = Client(server.url)
        for k in range(each):
            try:
                run = client.run(prompt(first_seed + k, f"{name}{k}"), timeout=PATIENCE_S)
            except ClientError as error:
                complaints.append(f"{name}: {error}")
            else:
                shown[name] += [file["filename"] for file in run.files(".mp4")]

    people = [threading.Thread(target=ask, args=(name, 1000 * place)) for place, name in enumerate(shown)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    for name, files in shown.items():
        if files != [f"{name}{k}_00001_.mp4" for k in range(each)]:
            complaints.append(f"{name} was shown {files}")
    return {"prompts": 2 * each, "shown": shown, "complaints": complaints}


def cancel(server: Server, seconds: float = 60.0) -> dict[str, Any]:
    """A long prompt renders, another waits, and one behind it: the second is taken out, the first one is stopped."""
    client, queued, complaints = Client(server.url), {}, []
    asked: list[float] = []

    def when_it_renders(moment: Progress) -> None:
        if moment.node_type == "SadTalkerFaceRender" and moment.value >= 1 and not asked:
            queued.update({name: client.queue(prompt(k, name)) for k, name in enumerate(("taken_out", "behind"))})
            client.post("/queue", {"delete": [queued["taken_out"]]})
            asked.append(time.monotonic())
            client.interrupt()

    long_one = talking(seconds, image="portrait0.png", **{"video.filename_prefix": "load/stopped"})
    try:
        client.run(long_one, on_progress=when_it_renders, timeout=PATIENCE_S)
        complaints.append("the running prompt went on to its end")
    except RunInterrupted:
        pass
    took = time.monotonic() - asked[0]
    behind = _entry(client, queued["behind"])
    if not behind["status"]["completed"]:
        complaints.append(f"the next prompt did not run: {behind['status']}")
    if client.get(f"/history/{queued['taken_out']}"):
        complaints.append("the prompt that was taken out of the queue ran")
    return {
        "prompts": 3,
        "interrupted_after_s": took,
        "complaints": complaints + not_made(server, behind=1, taken_out=0, stopped=0),
    }


def _entry(client: Client, prompt_id: str) -> dict[str, Any]:
    """What the server says of a prompt that has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        entry = client.get(f"/history/{prompt_id}").get(prompt_id)
        if entry:
            return entry
        time.sleep(0.1)
    raise ClientError(f"prompt {prompt_id} did not end in {PATIENCE_S:.0f} s")


def not_made(server: Server, **expected: int) -> list[str]:
    """Complaints where there are not so many videos whose names begin with these words, or one is empty."""
    files = list((server.base / "output" / "load").glob("*"))
    complaints = [f"{file.name} is empty" for file in files if not file.stat().st_size]
    for name, n in expected.items():
        found = sorted(file.name for file in files if file.name.startswith(name))
        if len(found) != n or any(not file.endswith("_.mp4") for file in found):
            complaints.append(f"expected {n} videos {name}…, got {len(found)}: {found[:5]}")
    return complaints


if __name__ == "__main__":
    sys.exit(main())
