"""Every command that docs/TRAINING.md prints is one that the programs take, and every option it names is theirs."""

import argparse
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "TRAINING.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (?:[A-Z_]+=\S+ )*python -m (.+)$", PAGE, flags=re.MULTILINE)
OURS = [command for command in COMMANDS if command.startswith(("sadtalker_core", "tests."))]
TRAINERS = ("prepare", "posevae", "expnet", "renderer", "mapping")


class Understood(Exception):
    """The command line was read; what would follow is not done."""


@pytest.fixture
def only_read(monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def read(parser, arguments=None, namespace=None):
        parse(parser, arguments, namespace)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read)


@pytest.mark.parametrize("command", OURS)
def test_a_printed_command_is_understood(command, only_read):
    module, *arguments = shlex.split(command)
    module = "sadtalker_core.__main__" if module == "sadtalker_core" else module
    with pytest.raises(Understood):
        importlib.import_module(module).main(arguments)


def test_each_training_has_its_command_on_the_page():
    printed = {command.split()[0].rpartition(".")[2] for command in OURS}
    assert printed >= {*TRAINERS}


def test_programs_of_others_on_the_page_are_there():
    others = {command.split()[0] for command in COMMANDS if command not in OURS} - {"pip"}
    assert others == {"tensorboard.main"} and importlib.util.find_spec("tensorboard.main")


def test_every_option_in_the_text_is_one_of_some_program(capsys):
    known = set()
    for trainer in (*TRAINERS, "easy"):
        with pytest.raises(SystemExit):
            importlib.import_module(f"sadtalker_core.training.{trainer}").main(["--help"])
        known |= set(re.findall(r"--[a-z][a-z0-9-]+", capsys.readouterr().out))
    text = re.sub(r"^    .*$", "", PAGE, flags=re.MULTILINE)
    named = set(re.findall(r"`(--[a-z][a-z0-9-]+)", text))
    assert named and named <= known


def test_a_misspelt_option_would_be_noticed(only_read):
    with pytest.raises(SystemExit):
        importlib.import_module("sadtalker_core.training.posevae").main(["--data", "clips", "--epoch", "3"])
