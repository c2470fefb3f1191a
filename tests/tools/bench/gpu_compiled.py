"""The part "compiled" of gpu.py, in the process that it starts: one JSON line for each row. Letters as there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tests.tools.bench.gpu import Clock, Size, TimeIsUp, generator_of, given, make_current, per_second, wait

COMPILERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("torch.compile", {}),
    ("torch.compile, reduce-overhead", {"mode": "reduce-overhead"}),
    ("torch.compile, max-autotune-no-cudagraphs", {"mode": "max-autotune-no-cudagraphs"}),
)
#: seconds that even the run with small networks needs for a compiler
COMPILER_S = 60.0


@torch.inference_mode()
def compile_here(device: torch.device, clock: Clock, size: Size, best: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same frames as they are, without a look whether one is like the one before, as a CUDA graph, compiled in part
    and as a whole.
    """
    net = generator_of(size, best["precision"], device, fast=True)
    image, source, driving = given(best["side"], best["batch"], device, net.config.motion.n_keypoints)
    prepared = net.encode_source(image, source)

    def frame(keypoints: Tensor) -> Tensor:
        return net.decode(prepared, net.dense_motion(prepared.compressed_features, prepared.keypoints, keypoints))

    def row(what: str, make: Callable[[Tensor], Tensor], took_s: float = 0.0) -> dict[str, Any]:
        rate = per_second(make, driving, device, size.rounds, clock)
        apart = (make(driving).float() - exact).abs()
        return {"what": what, **best, "frames_per_second": rate, "frame_ms": 1000 / rate, "once_s": took_s,
                "max": float(apart.max()), "mean": float(apart.mean())}  # fmt: skip

    exact = frame(driving).float()
    yield row("as it is", lambda keypoints: net.warp_and_decode(prepared, keypoints).image)
    yield row("without a look at the frame before", frame)

    def tried(name: str, make_it: Callable[[], Callable[[Tensor], Tensor]]) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            make = make_it()
            make(driving)
            make(driving + 0.01)
            wait(device)
            return row(name, make, time.perf_counter() - started)
        except TimeIsUp:
            raise
        except Exception as error:  # of many kinds: no compiler, no Triton, an operation that it or a graph refuses
            words = (str(error).splitlines() or [""])[0][:200]
            return {"what": f"{name} is left out", "error": f"{type(error).__name__}: {words}"}

    if device.type == "cuda":
        yield tried("CUDA graph", lambda: as_graph(frame, driving))
    else:
        yield {"what": "CUDA graph: only on a CUDA device"}
    if size.small and not clock.left > COMPILER_S:
        yield {"what": "torch.compile: no time for it"}
        return
    allow_many_shapes()
    compilers = COMPILERS if not size.small else (("eager", {"backend": "eager"}),)
    clock.require()
    yield tried(f"{compilers[0][0]}, one block for all of the middle", lambda: by_blocks(net, frame, compilers[0][1]))
    for block in net.decoder.middle:
        block._compiled_call_impl = None  # as it was
    for name, how in compilers:
        clock.require()
        yield tried(name, lambda how=how: copied(torch.compile(frame, **how)))


def by_blocks(net, frame: Callable[[Tensor], Tensor], how: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """Compiled block by block: those of the middle are alike, so that it takes a tenth of the time."""
    for block in net.decoder.middle:
        block.compile(**how)
    return frame


def copied(make: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What a compiled function gives may be overwritten by its next call."""
    return lambda keypoints: make(keypoints).clone()


def allow_many_shapes() -> None:
    """The compiler makes a kernel anew for each shape that a class of layers meets, and gives up after eight."""
    import torch._dynamo

    for name in ("recompile_limit", "cache_size_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, 256)


def as_graph(frame: Callable[[Tensor], Tensor], driving: Tensor) -> Callable[[Tensor], Tensor]:
    """The frame as one CUDA graph: kernels are handed over all at once."""
    keypoints, side_stream = driving.clone(), torch.cuda.Stream()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(3):
            frame(keypoints)
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = frame(keypoints)

    def again(now: Tensor) -> Tensor:
        keypoints.copy_(now)
        graph.replay()
        return made.clone()

    return again


def main(options: str) -> int:
    asked = json.loads(options)
    device = torch.device(asked["device"])
    make_current(device)
    try:
        for row in compile_here(device, Clock(asked["seconds"]), Size(), asked["best"]):
            print(json.dumps(row), flush=True)
    except TimeIsUp:
        print(json.dumps({"what": "the rest is left out: its share of the time is used"}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
