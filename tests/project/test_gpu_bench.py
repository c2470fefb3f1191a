"""The run for a real GPU, walked with small networks on the CPU and with nothing but torch, numpy and safetensors."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from torch.nn import Linear

from tests.tools.bench import gpu

PIPELINE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from tests.tools.bench import gpu
sys.exit(gpu.main(sys.argv[1:]))
"""
ABSENT = {"PIL", "imageio_ffmpeg", "skimage", "cv2", "librosa", "av", "soxr", "scipy", "pytest", "psutil", "kornia",
          "lightning_fabric", "comfy"}  # fmt: skip


def walked(project, folder, *words, absent=()):
    """(the rows of a small run by part, its last words)"""
    file = folder / "gpu.json"
    line = [sys.executable, "-c", PIPELINE.replace("ABSENT", repr(set(absent) or {"comfy"}))]
    line += ["--device", "cpu", "--small", "--json", str(file), *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=project, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = json.loads(file.read_text())["rows"]
    assert not [row for row in rows if "error" in row], rows
    return {part: [row for row in rows if row["part"] == part] for part in gpu.SHARES}


@pytest.mark.slow
def test_all_parts_are_walked_with_torch_numpy_and_safetensors_alone(project, tmp_path):
    # a compiler gets no time here: importing torch's own takes longer than all the rest
    rows = walked(project, tmp_path, "--minutes", "60", "--parts", *(set(gpu.SHARES) - {"compiled"}), absent=ABSENT)
    assert [row["ok"] for row in rows["right"] if "ok" in row] == [True] * 9
    assert [row["what"] for row in rows["right"][7:9]] == ["mini, set expression, fp32", "mini, dubbed video, fp32"]
    rows_of_job = [row["what"] for row in rows["job"]]
    assert "no kornia here: paste-back, and so the full mode, is left out" in rows_of_job
    assert "no ffmpeg here: frames are brought to the CPU, not encoded" in rows_of_job
    assert sum("frames_per_second" in row for row in rows["job"]) == 2
    made = [row for row in rows["frames"] if "factor" in row]
    assert [(row["what"], row["batch"]) for row in made] == [
        (what, batch)
        for what in ("plain fp32", "fast fp16", "fast bf16", "fast fp32")
        for batch in ((2, 1) if what == "plain fp32" else (1, 2))
    ]
    assert made[-1]["max"] < 5e-5 and made[-1]["lips_px"] < 1e-3, "fast fp32 is plain fp32"
    assert made[2]["max"] > 1e-4, "fp16 is not"
    assert "share_of_the_frames" in rows["waits"][-3] and "waiting_s" in rows["waits"][-2]
    assert rows["mini"][0]["side"] == 256 and rows["mini"][0]["frames"] == 5


@pytest.mark.slow
def test_the_best_arrangement_is_compiled(project, tmp_path):
    rows = walked(project, tmp_path, "--minutes", "60", "--parts", "compiled")["compiled"]
    assert [row["what"] for row in rows] == [
        "as it is", "without a look at the frame before", "CUDA graph: only on a CUDA device",
        "eager, one block for all of the middle", "eager", "all of it",
    ]  # fmt: skip
    assert all(row["max"] < 5e-5 for row in rows if "max" in row)


WORDY = """
import subprocess, sys, time
sys.stderr.write("words " * 50_000 + "\\nthe last words")
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print('{"what": "a row"}', flush=True)
time.sleep(300)
"""


@pytest.mark.slow
def test_a_compiler_of_many_words_that_hangs_is_ended_with_those_that_it_started(report, monkeypatch):
    start, begun = subprocess.Popen, time.monotonic()
    monkeypatch.setattr(gpu.subprocess, "Popen", lambda line, **how: start([sys.executable, "-c", WORDY], **how))
    rows = list(gpu.compiled(torch.device("cpu"), gpu.Clock(6), gpu.Size(), report))
    assert rows == [{"what": "a row"}, {"what": "ended early", "error": "the last words"}]
    assert time.monotonic() - begun < 120


def test_a_model_that_was_arranged_in_half_precision_stays_as_it_was():
    nets = {"generator": gpu.narrow("generator"), "flow_renderer": Linear(2, 2)}
    model = gpu.SadTalkerModel("of two", gpu.FAMILIES[gpu.RELEASED], 32, nets)
    state = {
        name: {key: tensor.clone() for key, tensor in net.state_dict().items()} for name, net in model.nets.items()
    }
    for fast in (True, False):
        gpu.arranged(model, torch.device("cpu"), "bf16", fast=fast)
    for name, net in model.nets.items():
        assert all(torch.equal(state[name][key], tensor) for key, tensor in net.state_dict().items())


def test_a_batch_that_takes_long_is_made_less_often():
    made = []

    def slow(driving):
        made.append(len(driving))
        time.sleep(0.05)

    rate = gpu.per_second(slow, torch.zeros(4, 3, 3), torch.device("cpu"), 20, gpu.Clock(5.0))
    assert 0 < rate <= 81 and len(made) < 20


@pytest.fixture
def report(tmp_path):
    return gpu.Report(tmp_path / "gpu.json", torch.device("cpu"))


def test_each_row_is_in_the_file_when_the_next_one_is_made(report, monkeypatch):
    def part(device, clock, size, report):
        yield {"what": "one"}
        assert [row["what"] for row in json.loads(report.file.read_text())["rows"]] == ["one"]
        raise RuntimeError("CUDA error: an illegal memory access\nmore words")

    monkeypatch.setattr(gpu, "PARTS", {"right": part, "mini": lambda *given: iter([{"what": "goes on"}])})
    assert gpu.run(report, torch.device("cpu"), ["right", "mini"], 60.0, gpu.SMALL) == 1
    rows = [(row["part"], row["what"]) for row in json.loads(report.file.read_text())["rows"]]
    assert rows == [("right", "one"), ("right", "failed"), ("right", "all of it"), ("mini", "goes on"),
                    ("mini", "all of it")]  # fmt: skip
    assert report.found["rows"][1]["error"] == "RuntimeError: CUDA error: an illegal memory access"


def test_after_a_lost_device_the_parts_that_are_left_run_in_a_new_process(report, monkeypatch):
    def lost(device, clock, size, report):
        raise RuntimeError("CUDA error: an illegal memory access")
        yield

    started = []
    monkeypatch.setattr(gpu, "PARTS", {"job": lost})
    monkeypatch.setattr(gpu, "is_usable", lambda device: False)
    monkeypatch.setattr(gpu.subprocess, "run", lambda line, cwd: started.append(line))
    assert gpu.run(report, torch.device("cpu"), ["job", "mini", "waits"], 60.0, gpu.SMALL) == 1
    (line,) = started
    assert line[line.index("--parts") + 1 : line.index("--minutes")] == ["mini", "waits"] and "--append" in line
    assert 0.9 < float(line[line.index("--minutes") + 1]) <= 1
    again = gpu.Report(report.file, torch.device("cpu"), append=True)
    assert [row["what"] for row in again.found["rows"]] == [
        "failed", "all of it", "lost the device: what is left runs in a new process",
    ]  # fmt: skip


def test_a_part_whose_time_is_used_leaves_the_rest_out(report, monkeypatch):
    endless = {"frames": lambda *given: ({"what": str(k)} for k in range(10**9))}
    monkeypatch.setattr(gpu, "PARTS", endless)
    assert gpu.run(report, torch.device("cpu"), ["frames"], 0.2, gpu.SMALL) == 0
    assert report.found["rows"][-2]["what"] == "the rest is left out: its share of the time is used"


def test_the_shares_fit_into_the_eight_minutes_in_the_order_of_what_matters():
    assert sum(gpu.SHARES.values()) <= 60 * gpu.MINUTES == 480
    assert list(gpu.SHARES) == ["right", "job", "frames", "compiled", "mini", "waits"] == list(gpu.PARTS)


def test_the_best_arrangement_is_the_fastest_of_the_fast_ones(report):
    for what, rate in (("plain fp32", 900.0), ("fast fp16", 80.0), ("fast bf16", 90.0)):
        report.found["rows"].append({"part": "frames", "what": what, "side": 32, "batch": 4, "frames_per_second": rate})
    assert gpu.best_of(report, gpu.SMALL) == {"precision": "bf16", "batch": 4, "side": 32}


def test_without_a_gpu_one_sentence_reports_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--json", str(tmp_path / "gpu.json")]) == 2
    assert "torch finds no CUDA device" in capsys.readouterr().out
    assert gpu.measure() == [{"what": "not measured: torch finds no CUDA device"}]
