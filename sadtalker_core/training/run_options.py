"""The command line of the trainers: the options of a `Run`, and how a program ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import SadTalkerError
from ..saving import disk_full_error
from .trainer import PRECISIONS, Run

#: the share of the clips that is held out
HOLD_OUT = 0.15


def training_parser(doc: str | None, configs: Iterable[str], config: str, clips: str = "") -> argparse.ArgumentParser:
    """--data and --config.  doc: what --help begins with;  config: the default;  clips: which ones --data must hold"""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"the folder of clips{clips}")
    parser.add_argument(
        "--config",
        choices=configs,
        default=config,
        help=f"weights of the losses, width of a new network (default {config})",
    )
    return parser


def add_run_options(
    parser: argparse.ArgumentParser,
    *,
    out: str,
    steps: int,
    batch: int | None = None,
    images_every: int = 1000,
    validate_every: int = 100,
    patience: int = 10,
) -> None:
    """The options of a `Run`, the same for every trainer. batch: None where a config decides about it."""
    parser.add_argument(
        "--out", type=Path, default=Path(out), help=f"folder of the run; an existing run is resumed ({out})"
    )
    parser.add_argument("--steps", type=int, default=steps, help=f"steps in all ({steps})")
    parser.add_argument(
        "--batch", type=int, default=batch, help=f"examples per step and process ({batch or 'as the config has it'})"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate-scale", type=float, default=1.0, help="multiply the learning rates of the config (1)")
    parser.add_argument("--save-every", type=int, default=500, help="steps between two saves (500)")
    parser.add_argument("--report-every", type=int, default=50, help="steps between two lines of the log (50)")
    parser.add_argument(
        "--images-every",
        "--pictures-every",
        type=int,
        default=images_every,
        help=f"steps between two sample images ({images_every})",
    )
    parser.add_argument(
        "--validate-every",
        type=int,
        default=validate_every,
        help=f"steps between two validations ({validate_every})",
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=patience,
        help=f"stop after so many validations without a better one; 0: never ({patience or 'never'})",
    )
    parser.add_argument(
        "--hold-out",
        type=float,
        default=HOLD_OUT,
        metavar="SHARE",
        help=f"the share of the videos that is not trained on but validated with, 0 to 0.5 ({HOLD_OUT})",
    )
    parser.add_argument(
        "--videos-every",
        "--films-every",
        type=int,
        default=None,
        help="steps between two short videos beside the real one in OUT/videos; 0: none (a fifth of --steps)",
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="that torch computes with on a CPU (0: as many as fit the networks)"
    )
    _add_fabric_options(parser)


def _add_fabric_options(parser: argparse.ArgumentParser) -> None:
    """The options of Lightning Fabric: devices, processes, precision."""
    parser.add_argument("--accelerator", default="auto", help="auto, cpu, gpu, mps (Lightning Fabric)")
    parser.add_argument("--devices", default="auto", help="auto, a number, or a list like 0,1 (Lightning Fabric)")
    parser.add_argument("--num-nodes", type=int, default=1, help="machines that work together (Lightning Fabric)")
    parser.add_argument("--strategy", default="auto", help="auto, ddp (Lightning Fabric)")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])


def command(main: Callable[[], None]) -> None:
    """Run a program from the command line: what the pack refuses is a sentence there, and no traceback."""
    try:
        main()
    except KeyboardInterrupt:
        print("Stopped. The same command resumes the run.", file=sys.stderr)
        raise SystemExit(130) from None
    except SadTalkerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    except OSError as error:
        full = disk_full_error(error, Path(error.filename or "the run"))
        if full is None:
            raise
        print(f"{full} The same command resumes from the last saved step.", file=sys.stderr)
        raise SystemExit(2) from error


def run_of(options: argparse.Namespace, batch: int = 32) -> Run:
    """The `Run` that a command line with `add_run_options` asks for. batch: the config's batch size."""
    devices = options.devices
    return Run(
        folder=options.out,
        steps=options.steps,
        batch=batch if options.batch is None else options.batch,
        seed=options.seed,
        rate_scale=options.rate_scale,
        save_every=options.save_every,
        report_every=options.report_every,
        images_every=options.images_every,
        validate_every=options.validate_every,
        videos_every=max(1, options.steps // 5) if options.videos_every is None else options.videos_every,
        patience=options.patience,
        threads=options.threads,
        accelerator=options.accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        precision=options.precision,
    )


__all__ = ["HOLD_OUT", "add_run_options", "command", "run_of", "training_parser"]
