"""Whatever stands in a table or a manifest: jobs, or sentences of a length that somebody reads."""

from __future__ import annotations

import json
from dataclasses import fields

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sadtalker_core.batch.jobs import FILES, read_jobs
from sadtalker_core.batch.record import Outcome, RunFolder, summary, table
from sadtalker_core.errors import SadTalkerError
from sadtalker_core.options import OPTIONS
from tests.batch.conftest import PORTRAIT

LONGEST_SENTENCE = 600
quickly = settings(
    derandomize=True,
    database=None,
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

#: what cells are made of: words that mean something, odd names, and anything
ODD = ("~nobody/x.png", "a" * 300 + ".png", "b" * 300 + ".mp4", "x\0y.mp4", "/", "..", "~", "\ud7ff\U0010ffff", '"',
       "nan", "-inf", "1e999", "9" * 5000, "file/a\0b", "file/../x", "x" * 5000, "short.wav/x",
       "x.mp4/y.mp4")  # fmt: skip
cells = st.one_of(
    st.sampled_from((PORTRAIT, "short.wav", "a.mp4", "1", "yes", "mini", *ODD)),
    st.text(max_size=20),
    st.integers(200, 140_000).map(lambda n: "y" * n),
)
names = st.one_of(st.sampled_from((*FILES, *OPTIONS)), st.text(max_size=8))
rows = st.lists(cells, min_size=1, max_size=4).map(",".join)
tables = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda some, lines: "\n".join((",".join(some), *lines)).encode(),
        st.lists(names, max_size=4),
        st.lists(rows, max_size=4),
    ),
    st.builds(
        lambda column, lines: f"portrait,out,{column}\n{chr(10).join(lines)}".encode(),
        st.sampled_from(("voice", *OPTIONS)),
        st.lists(rows, max_size=4),
    ),
)


@quickly
@given(data=tables)
def test_any_bytes_as_a_table_give_jobs_or_sentences(folder, data):
    path = folder / "any.csv"
    path.write_bytes(data)
    try:
        assert read_jobs(path)
    except SadTalkerError as error:
        assert max(map(len, str(error).split("\n"))) <= LONGEST_SENTENCE


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("a"), st.just("done")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
whole = st.fixed_dictionaries(
    {
        "id": st.just("a"),
        "line": st.integers(),
        "out": st.just("a.mp4"),
        "status": st.just("done"),
        "n_bytes": st.just(4),
        "seconds": st.floats(),
        "n_frames": st.integers(),
    }
)
some = st.dictionaries(st.sampled_from([field.name for field in fields(Outcome)]), json_values, max_size=9)
manifest_lines = st.one_of(
    st.builds(lambda one, other: json.dumps(one | other).encode(), whole, some),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.sampled_from([b"[" * 100_000, b'{"id":[1],"line":1,"out":"","status":"done"}', b'{"a":' * 5_000]),
    st.integers(4_000, 6_000).map(lambda n: b'{"id":"a","line":' + b"9" * n + b',"out":"","status":"done"}'),
)


@quickly
@given(lines=st.lists(manifest_lines, max_size=4))
def test_any_lines_in_a_manifest_give_a_run_that_can_be_reported(tmp_path, lines):
    from tests.batch.test_record import job

    one, run = job(tmp_path), RunFolder(tmp_path / "run")
    one.out.write_bytes(b"film")
    run.manifest.write_bytes(b"\n".join(lines) + b"\n")
    found = run.done_before([one])
    assert set(found) <= {one.id}
    report = summary([*found.values()], 1.0, 1)
    assert table(report)
    run.write_report(report)
    assert json.loads(run.report.read_bytes())["done_before"] == len(found) and not run.fault
