"""What `python -m tests.comfyui COMMAND` can do. Every target of the Makefile is one such line."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.tools.comfyui import environment, lint, validators
from tests.tools.comfyui.client import ClientError
from tests.tools.comfyui.layout import PROJECT, SetupError, home, venv_python
from tests.tools.comfyui.server import ServerError
from tests.tools.comfyui.workflow import WorkflowError

QUICK = "not slow and not comfyui and not browser"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.comfyui", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    command("setup", _setup, "set a real ComfyUI and the tests' tools up in .comfyui")
    demo = command("demo", _demo, "an image and audio become a talking portrait")
    for name, text in (
        ("portrait", "an image"),
        ("voice", "audio"),
        ("out", "the mp4 to write"),
        ("workflow", "another workflow"),
        ("reference", "a video, for workflows that load one"),
    ):
        demo.add_argument(f"--{name}", default=os.environ.get(name.upper()) or None, help=text)
    serve = command("serve", _serve, "leave ComfyUI up with the nodes, for your browser")
    serve.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 0) or None)
    for name, text in (
        ("test", "set up what is needed and run all tests"),
        ("test-quick", "the tests that take no server, no browser and little time"),
        ("coverage", "the quick tests, and how much of sadtalker_core they run"),
    ):
        command(name, _test, text).add_argument("arguments", nargs=argparse.REMAINDER, help="further pytest arguments")
    parity = command("parity", _parity, "the networks against recorded numbers of the original")
    parity.add_argument("--vectors", default=os.environ.get("VECTORS") or None, help="a folder of .npz files")
    parity.add_argument("--seed", default=os.environ.get("SEED") or None, help="the seed of the rule-made weights")
    command("lint", lambda args: lint.main(_for_tests()), "ruff (rules and format) and mypy")
    bench = command("bench", _bench, "what a frame costs: plain, fast, bfloat16, the mini, all stages; and bench.json")
    bench.add_argument("arguments", nargs=argparse.REMAINDER, help="of python -m tests.bench")
    mini = command(
        "eval-mini", _eval_mini, "how good the built-in model is: a table with targets, a contact sheet, videos"
    )
    mini.add_argument("arguments", nargs=argparse.REMAINDER, help="of python -m tests.mini_evaluator")
    trained = command(
        "train-mini", _train_mini, "make the built-in model anew: speech, heads and all its networks; hours"
    )
    trained.add_argument("arguments", nargs=argparse.REMAINDER, help="of python -m sadtalker_core.training.train_mini")
    fuzz = command("fuzz", _fuzz, "broken inputs at every entry point and kill -9 for every writer; ten minutes")
    fuzz.add_argument("arguments", nargs=argparse.REMAINDER, help="of python -m tests.fuzz")
    for name in ("validators", "judges"):  # the second is the older name
        command(name, lambda args: validators.main(), "the registry's checks, comfy-test and comfy-import-guard")

    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except (SetupError, WorkflowError, ClientError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _setup(args: argparse.Namespace) -> int:
    found = environment.prepare(tests=True)
    print(f"ComfyUI {found.version} in {found.tree}, run by {found.python}")
    return 0


def _demo(args: argparse.Namespace) -> int:
    from tests.tools.comfyui.demo import demo

    demo(args.portrait, args.voice, args.out, args.workflow, args.reference)
    return 0


def _serve(args: argparse.Namespace) -> int:
    from tests.tools.comfyui.demo import serve

    return serve(args.port)


def _parity(args: argparse.Namespace) -> int:
    chosen = [
        part for name in ("vectors", "seed") if getattr(args, name) for part in (f"--{name}", getattr(args, name))
    ]
    return subprocess.run([str(_for_tests()), "-m", "tests.parity", *chosen], cwd=PROJECT).returncode


def _bench(args: argparse.Namespace) -> int:
    return subprocess.run([str(_for_tests()), "-m", "tests.tools.bench", *args.arguments], cwd=PROJECT).returncode


def _eval_mini(args: argparse.Namespace) -> int:
    return subprocess.run(
        [str(_for_tests()), "-m", "tests.tools.mini_evaluator", *args.arguments], cwd=PROJECT
    ).returncode


def _fuzz(args: argparse.Namespace) -> int:
    return subprocess.run([str(_for_tests()), "-m", "tests.tools.fuzz", *args.arguments], cwd=PROJECT).returncode


def _train_mini(args: argparse.Namespace) -> int:
    line = [str(_for_tests()), "-m", "sadtalker_core.training.train_mini", *args.arguments]
    return subprocess.run(line, cwd=PROJECT).returncode


def _for_tests() -> Path:
    """The project's own Python with everything that the tests import."""
    environment.prepare(tests=True)
    return venv_python(home() / "venv")


def _test(args: argparse.Namespace) -> int:
    python = _for_tests()
    env = dict(os.environ)
    if env.get("NUMPY"):
        env["PYTHONPATH"] = str(environment.prepare_numpy(env["NUMPY"]))
    chosen = ["-n", "2", "--dist", "loadfile"]
    if args.command == "coverage":
        environment.prepare_coverage()
        chosen = ["--cov=sadtalker_core", "--cov-report=term:skip-covered", *chosen]
    if args.command in ("test-quick", "coverage"):
        chosen += ["-m", QUICK]
    else:
        chosen += ["--durations=25"]
        environment.prepare_newer()
        environment.prepare_browser()
        environment.prepare_voices()
    command = [
        str(python),
        "-m",
        "pytest",
        "-c",
        "tests/pytest.ini",
        "--rootdir",
        "tests",
        *chosen,
        *(args.arguments or ["tests"]),
    ]
    return subprocess.run(command, cwd=PROJECT, env=env, stdin=subprocess.DEVNULL).returncode
