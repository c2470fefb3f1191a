"""A folder of vectors comes in, a table goes to the terminal; status 1 when a number is out, 2 when some cannot run.

python -m tests.parity [--vectors FOLDER] [--seed N] [--stage NAME ...]
python -m tests.parity trim SOURCE DESTINATION     makes the project's own small copy, tests/parity/vectors
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from tests.parity.harness import ParityError, Row, Vectors, check_file, default_folder, vector_files  # noqa: E402

HEADINGS = ("stage", "case", "field", "max", "mean", "tolerance", "", "note")
LINE = "{:<16} {:<22} {:<24} {:>10} {:>10} {:>10}  {:<4} {}"


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["trim"]:
        from tests.parity.trim import main as trim

        return trim(arguments[1:])
    options = _parser().parse_args(arguments)
    folder = options.vectors or default_folder()
    try:
        files = vector_files(folder)
        stages = {file: Vectors(file).stage for file in files}
        _require_known(options.stage, set(stages.values()), folder)
    except ParityError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Vectors: {folder}, rule-made weights of seed {options.seed}\n{LINE.format(*HEADINGS)}")
    rows, failures, started = [], [], time.monotonic()
    for file in files:
        if options.stage and stages[file] not in options.stage:
            continue
        try:
            for row in check_file(file, options.seed):
                rows.append(row)
                print(line(row), flush=True)
        except ParityError as error:
            failures.append(error)
            print(f"{file.name}: {error}", flush=True)
    out = [row for row in rows if not row.ok]
    n_fixed = sum(row.note.startswith("fixed") for row in rows)
    print(
        f"\n{len(rows)} comparisons, {len(out)} out of tolerance, {n_fixed} fixed, {len(failures)} files that "
        f"could not run, {time.monotonic() - started:.0f} s."
    )
    for row in out:
        print(f"OUT  {line(row)}")
    return 1 if out else 2 if failures else 0


def line(row: Row) -> str:
    """A row of the table as text."""
    numbers = (f"{n:.2e}" if n else "0" for n in (row.max_abs, row.mean_abs, row.tolerance))
    return LINE.format(row.stage, row.case, row.field, *numbers, "ok" if row.ok else "OUT", row.note)


def _require_known(wanted: list[str] | None, there: set[str], folder: Path) -> None:
    for stage in wanted or ():
        if stage not in there:
            raise ParityError(f"{folder} holds no vectors of a stage {stage!r}; there are {', '.join(sorted(there))}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.parity", description="Compare with the original, stage by stage.")
    parser.add_argument("--vectors", type=Path, metavar="FOLDER", help="a folder of npz files (default: the project's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the rule-made weights (default: 0)")
    parser.add_argument("--stage", nargs="+", metavar="NAME", help="only these stages")
    return parser


if __name__ == "__main__":
    sys.exit(main())
