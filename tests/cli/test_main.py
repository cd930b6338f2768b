"""The command line, as a user sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kthreads.cli import doctor, main
from kthreads.cli.parser import Parser

OTHERS = set(main.COMMANDS) - {"run"}


def kthreads(*arguments, **options):
    command = [sys.executable, "-m", "kthreads", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **options)


def test_doctor_prints_what_it_found():
    done = kthreads("doctor")
    assert done.returncode == 0, done.stderr
    for word in (
        "clone3",
        "glibc",
        "self-check",
        "passed",
        "struct pthread",
        "threads-max",
        "pid_max",
        "max_map_count",
    ):
        assert word in done.stdout


def test_doctor_agrees_with_the_kernel_on_limits():
    rows = {row.what: row.value for row in doctor.findings()}
    with open("/proc/sys/kernel/pid_max") as file:
        assert f"{int(file.read()):,}" in rows["pid_max"]


def test_an_unknown_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as exit_:
        main.main(["frobnicate"])
    assert exit_.value.code == 2
    assert "frobnicate" in capsys.readouterr().err


def test_the_version_is_the_package_s(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit):
        main.main(["--version"])
    assert capsys.readouterr().out == f"kthreads {version('kthreads')}\n"


def test_help_imports_no_command():
    program = (
        "import sys; from kthreads.cli import main\ntry: main.main(['--help'])\nfinally: print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for module, _ in main.COMMANDS.values():
        assert f"'{module}'" not in done.stdout
    assert "'rich'" not in done.stdout


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_has_help_that_says_what_it_does(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main.main([command, "--help"])
    assert exit_.value.code == 0
    assert f"usage: kthreads {command}" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "others"), [(["run", "-h"], set()), (["-h", "run"], OTHERS), (["no"], OTHERS)])
def test_a_command_makes_no_parsers_of_others(monkeypatch, words, others):
    made = []

    class Counted(Parser):
        def __init__(self, **options):
            made.append(options["prog"].removeprefix("kthreads").strip())
            super().__init__(**options)

    monkeypatch.setattr(main, "Parser", Counted)
    with pytest.raises(SystemExit):
        main.main(words)
    assert set(made) - {"", "run"} == others


def test_help_is_as_wide_as_columns_says(monkeypatch, capsys):
    widths = []
    for columns in ("75", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit):
            main.main(["nsenter", "--help"])
        widths.append(max(map(len, capsys.readouterr().out.splitlines())))
    assert widths[0] <= 75 < widths[1] <= 120


def test_a_character_that_the_locale_does_not_have_is_written_as_its_number():
    done = kthreads("run", "--help", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr, "\\u2" in done.stdout) == (0, "", True)


@pytest.mark.parametrize("columns", ["0", "1", "x"])
@pytest.mark.parametrize("command", [["doctor"], ["ps", str(os.getpid())], ["lab", "VM"]])
def test_a_width_in_which_nothing_can_be_shown_is_not_taken(command, columns):
    shown = subprocess.run(
        [sys.executable, "-m", "kthreads", *command],
        env={**os.environ, "COLUMNS": columns},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert len(shown.split()) > 5
