"""Set-up: what is finished stays finished, what was cut off goes on, and a wrong setting gets a sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tools.comfyui import environment
from tests.tools.comfyui.environment import Steps
from tests.tools.comfyui.layout import PROJECT, SetupError

pytestmark = pytest.mark.plain


@pytest.fixture
def steps(tmp_path):
    return Steps(tmp_path, say=lambda text: None)


def test_a_finished_step_is_not_done_again(steps):
    done = []
    for _ in range(2):
        steps.do("tree", "version 1", lambda: done.append(1), "the tree")
    assert done == [1]


def test_a_changed_recipe_does_its_step_again(steps):
    done = []
    for recipe in ("version 1", "version 2"):
        steps.do("tree", recipe, lambda recipe=recipe: done.append(recipe), "the tree")
    assert done == ["version 1", "version 2"]


def test_a_step_that_was_cut_off_is_not_taken_for_finished(steps):
    steps.do("tree", "version 1", lambda: None, "the tree")

    def cut_off():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.do("tree", "version 2", cut_off, "the tree")
    assert not steps.has("tree", "version 1") and not steps.has("tree", "version 2")


def test_a_damaged_stamp_file_means_nothing_is_finished(steps):
    steps.do("tree", "version 1", lambda: None, "the tree")
    steps.file.write_text('{"tree": "half', encoding="utf-8")
    assert not steps.has("tree", "version 1")


def test_a_command_that_fails_shows_its_last_words_and_names_the_log(steps):
    with pytest.raises(SetupError, match="no such wheel") as raised:
        steps.run(sys.executable, "-c", "print('no such wheel'); raise SystemExit(3)")
    assert str(steps.log) in str(raised.value)


def test_a_second_setup_waits_for_the_first(tmp_path):
    lock = tmp_path / "setup.lock"
    messages = []
    command = [
        sys.executable,
        "-c",
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from tests.tools.comfyui import environment as e\n"
        "with e._only_one(Path(sys.argv[2]), print):\n"
        "    print('held', flush=True); sys.stdin.read()",
        str(PROJECT),
        str(lock),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"

        def let_go(text):
            messages.append(text)
            holder.stdin.close()

        with environment._only_one(lock, let_go):
            assert len(messages) == 1 and "another set-up" in messages[0]
        assert holder.wait() == 0


def make_comfyui(folder, version="0.3.75", venv=True):
    folder.mkdir(parents=True)
    (folder / "main.py").write_text("", encoding="utf-8")
    (folder / "comfyui_version.py").write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    if venv:
        python = environment.venv_python(folder / "venv")
        python.parent.mkdir(parents=True)
        python.write_text("", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def no_named_comfyui(monkeypatch):
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    monkeypatch.delenv("COMFYUI_PYTHON", raising=False)


def test_an_existing_comfyui_is_used_with_its_own_python(tmp_path, monkeypatch):
    tree = make_comfyui(tmp_path / "my ComfyUI \u00e4")
    monkeypatch.setenv("COMFYUI_DIR", str(tree))
    found = environment.find()
    assert found.tree == tree and found.python == environment.venv_python(tree / "venv") and not found.own


def test_the_folder_of_the_portable_package_is_understood(tmp_path, monkeypatch):
    make_comfyui(tmp_path / "portable" / "ComfyUI", venv=False)
    python = tmp_path / "portable" / "python_embeded" / "python.exe"
    python.parent.mkdir()
    python.write_text("", encoding="utf-8")
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path / "portable"))
    found = environment.find()
    assert found.tree == tmp_path / "portable" / "ComfyUI" and found.python == python


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda tmp: tmp / "nowhere", "there is no main.py"),
        (lambda tmp: make_comfyui(tmp / "old", version="0.3.40"), "0.3.40; these nodes need 0.3.75"),
        (lambda tmp: make_comfyui(tmp / "bare", venv=False), "name it in COMFYUI_PYTHON"),
    ],
)
def test_a_comfyui_that_cannot_be_used_gets_a_sentence(tmp_path, monkeypatch, prepare, sentence):
    monkeypatch.setenv("COMFYUI_DIR", str(prepare(tmp_path)))
    with pytest.raises(SetupError, match=sentence):
        environment.find()


def test_a_python_that_is_named_must_be_one(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_DIR", str(make_comfyui(tmp_path / "c")))
    monkeypatch.setenv("COMFYUI_PYTHON", "no-such-python-here")
    with pytest.raises(SetupError, match="COMFYUI_PYTHON=no-such-python-here is not a program"):
        environment.find()


def test_what_runs_in_the_tests_own_python_takes_the_comfyui_whose_packages_are_there(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_DIR", str(make_comfyui(tmp_path / "theirs", version="0.33.0")))
    monkeypatch.setattr(environment, "home", lambda: tmp_path / "ours")
    make_comfyui(tmp_path / "ours" / "ComfyUI", venv=False)
    python = environment.venv_python(tmp_path / "ours" / "venv")
    python.parent.mkdir(parents=True)
    python.touch()
    environment.Steps(tmp_path / "ours").do("comfyui", environment._recipes()["comfyui"], lambda: None, "ours")
    assert environment.find().tree == tmp_path / "theirs"
    own = environment.find_own()
    assert own == environment.Environment(python, tmp_path / "ours" / "ComfyUI", "0.3.75", own=True)


def test_without_setup_the_sentence_explains_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "home", lambda: tmp_path)
    with pytest.raises(SetupError, match="python -m tests.comfyui setup"):
        environment.find()


def test_a_python_that_is_too_old_is_refused_for_the_virtual_environment(monkeypatch):
    monkeypatch.setenv("PYTHON", "python-from-1999")
    with pytest.raises(SetupError, match="PYTHON=python-from-1999 is not a Python 3.10 to 3.13"):
        environment._base_python()
