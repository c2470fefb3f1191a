"""Whatever somebody writes where a name is asked for, and whatever reaches a node: it works, or a sentence says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sadtalker_core.batch.jobs import read_jobs
from sadtalker_core.checkpoint.catalog import find_files, missing_files
from sadtalker_core.errors import SadTalkerError
from tests.tools.fuzz.mutations import ODD_TEXTS

LONGEST_SENTENCE = 600
INSIDE = Path(__file__).resolve().parent / "tools" / "fuzz" / "inside" / "doorways.py"
quickly = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: any text, lone surrogates and NUL with it, and those that break what is built of names
texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(st.characters(), max_size=30))
names = st.builds(
    "{}{}{}".format,
    st.sampled_from(("", "file/", "../", "a/", "~", "%")),
    texts,
    st.sampled_from(("", ".mp4", ".png", ".safetensors", "/", " [output]")),
)


def refused_in_few_words(call) -> bool:
    """Whether one of our own errors came, in sentences that somebody reads; what else comes goes on."""
    try:
        call()
    except SadTalkerError as error:
        longest = max(map(len, str(error).split("\n")))
        assert longest <= LONGEST_SENTENCE, f"a sentence of {longest} letters"
        return True
    return False


@quickly
@given(name=names)
def test_a_model_of_any_name_is_found_or_missing(tmp_path, name):
    (tmp_path / "there.safetensors").touch()
    assert refused_in_few_words(lambda: find_files(name, [tmp_path])) or name.endswith("there.safetensors")
    refused_in_few_words(lambda: missing_files(name, [tmp_path]))


@pytest.mark.parametrize("column", ["portrait", "voice", "out", "model"])
@quickly
@given(name=names)
def test_a_file_of_any_name_in_a_table_is_taken_or_named(tmp_path, column, name):
    cells = {"portrait": "face.png", "voice": "", "out": "a.mp4", "model": "mini", "idle_seconds": "1", column: name}
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "face.png")
    quoted = ['"' + text.replace('"', '""') + '"' for text in cells.values()]
    table = f"{','.join(cells)}\n{','.join(quoted)}\n"
    (tmp_path / "jobs.csv").write_bytes(table.encode("utf-8", "surrogatepass"))
    refused_in_few_words(lambda: read_jobs(tmp_path / "jobs.csv", [tmp_path]))


@pytest.mark.comfyui
def test_nodes_take_or_refuse_any_name_and_any_input_with_a_sentence(in_process, project):
    found = in_process(INSIDE, project=str(project), wanted={"names": 24, "nodes": 30}, seed=0)
    faults = [f"{name}: {fault}" for name, faults in found.items() for fault in faults]
    assert not faults, "\n".join(faults)
