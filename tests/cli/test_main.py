"""The command line, as a user sees it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib

import pytest

from kthreads.cli import doctor, main


def kthreads(*arguments, **options):
    command = [sys.executable, "-m", "kthreads", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **options)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "large").write_bytes(bytes(range(256)) * 40_000)
    (tmp_path / "small").write_bytes(b"hello")
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


def test_demo_prints_the_crc_of_each_file(files):
    done = kthreads("demo", str(files), env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for name in ("large", "small", "empty"):
        crc = f"{zlib.crc32((files / name).read_bytes()):08x}"
        assert re.search(rf"{name} .*{crc}", done.stdout), done.stdout


def test_demo_shows_threads_with_their_flags_and_the_speed_up(files):
    done = kthreads("demo", "--threads", "3", str(files), env={**os.environ, "COLUMNS": "200"})
    assert "0x13d0f00" in done.stdout
    assert done.stdout.count("pthread_create") == 3
    assert re.search(r"kthreads\.Thread .* \d+\.\d\dx", done.stdout)


@pytest.mark.parametrize(("arguments", "status"), [(["nowhere"], 2), (["--threads", "0"], 2)])
def test_demo_refuses_what_makes_no_sense(arguments, status):
    done = kthreads("demo", *arguments)
    assert done.returncode == status
    assert done.stderr


def test_demo_says_when_there_is_nothing_to_do(tmp_path):
    assert "nothing to checksum" in kthreads("demo", str(tmp_path)).stderr


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
