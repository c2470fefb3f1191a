"""How many threads torch takes for one piece of work on the CPU, and back again.

torch cuts an operation into as many pieces as it has threads (by default one a core) and waits for all of them. A small
network has thousands of operations of some microseconds each. With the cores to itself it gains a fifth to a half by
two threads; where other programs want the cores, each operation waits for the piece whose turn has not come, and the
same work takes 5 to 40 times as long as on one thread. docs/BENCH.md has the table, `python -m tests.bench --parts
threads` makes it. One thread works in any number of processes, and gives the same bits whatever the number of cores.
Where there is more than one piece of work (frames of a clip, parts of a voice), `side_by_side` gives each core a piece,
which is better than both.

The number belongs to the thread that sets it (it is OpenMP's); threads that come to torch for the first time later take
the last one that anybody set. So that this default stays what it was, too, a thread of no further use hands it back.
"""

from __future__ import annotations

import _thread
import functools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

#: threads for networks whose operations are small: all of the mini family, and of the released one all but the renderer
SMALL_NETS = 1

_one_at_a_time = threading.Lock()
#: of each thread that is within `few_threads`: .allowed, how many there were outside
_here = threading.local()
_Piece = TypeVar("_Piece")
_Thing = TypeVar("_Thing")


@contextmanager
def few_threads(n_threads: int | None = None) -> Iterator[None]:
    """Inside, torch computes on at most so many threads for this thread; afterwards on as many as before.

    Use it as `with few_threads():` or as `@few_threads()` above a function. Never raises the number that is set.
    n_threads: None for SMALL_NETS, 1 or more
    """
    wanted = SMALL_NETS if n_threads is None else n_threads
    before = torch.get_num_threads()
    if before <= wanted or not _can_change():
        yield
        return
    outside = getattr(_here, "allowed", None)
    default = _set_here(wanted)
    try:
        _here.allowed = outside or before
        yield
    finally:
        _here.allowed = outside
        if default == before:
            torch.set_num_threads(before)  # which makes it the default again, too
        else:
            _set_here(before)


def each_on_few_threads(things: Iterator[_Thing], n_threads: int | None = None) -> Iterator[_Thing]:
    """The same things, each of them made within `few_threads`; whoever takes them keeps the threads that it has."""
    made: list[_Thing] = []  # and is the only one who holds them
    while True:
        with few_threads(n_threads):
            try:
                made.append(next(things))
            except StopIteration:
                return
        yield made.pop()


def side_by_side(
    make: Callable[[_Piece], _Thing], pieces: Sequence[_Piece], device: torch.device
) -> Generator[_Thing, None, None]:
    """make(piece) of each piece, in their order. Within `few_threads` on the CPU as many pieces are made at once as
    there were threads outside; so the cores are used, nobody waits for a part of an operation, and the result is the
    same to the bit. Close it when you leave early: what has not begun is then not made.
    """
    n_at_once = pieces_at_once(len(pieces), device)
    if n_at_once == 1:
        yield from map(make, pieces)
        return
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work(piece: _Piece) -> _Thing:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return make(piece)

    with ThreadPoolExecutor(n_at_once, "SadTalker", initializer=_set_here, initargs=(SMALL_NETS,)) as pool:
        begun: deque[Future[_Thing]] = deque()
        try:
            for piece in pieces:
                begun.append(pool.submit(work, piece))
                if len(begun) > n_at_once:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()


def pieces_at_once(n_pieces: int, device: torch.device) -> int:
    """How many of them `side_by_side` would make at once, at least 1."""
    allowed = getattr(_here, "allowed", None) or 1
    return max(1, min(allowed // SMALL_NETS, n_pieces)) if device.type == "cpu" else 1


def _set_here(n_threads: int) -> int:
    """Set it for this thread; what new threads get stays as it was, and is returned."""
    torch.get_num_threads()  # a thread that has never asked would get the default later, whatever it sets now
    default: list[int] = []
    ours, theirs = _thread.allocate_lock(), _thread.allocate_lock()
    ours.acquire()
    theirs.acquire()

    def keep_the_default() -> None:
        default.append(torch.get_num_threads())  # a new thread has just that
        ours.release()
        theirs.acquire()
        torch.set_num_threads(default[0])
        ours.release()

    with _one_at_a_time:
        _thread.start_new_thread(keep_the_default, ())  # half as many changes of turn as threading.Thread
        ours.acquire()
        torch.set_num_threads(n_threads)
        theirs.release()
        ours.acquire()
    return default[0]


@functools.cache
def _can_change() -> bool:
    """Whether the number can change while torch is at work: with OpenMP, which all common builds have."""
    return "parallel backend: OpenMP" in torch.__config__.parallel_info()
