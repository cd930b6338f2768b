"""The shape of the package: what is public, how large files are, and that texts tell the truth."""

from __future__ import annotations

import importlib
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kthreads
from kthreads import _call, _native

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "kthreads"
ENGINE = ("base", "libc", "thread", "pool", "process")


def test_what_is_optional_is_imported_only_when_asked_for():
    script = (
        "import sys, kthreads, kthreads.cli.main, kthreads.integrations; "
        "print({'numpy', 'numba', 'joblib', 'distributed', 'threadpoolctl'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_asyncio_is_imported_by_who_awaits():
    script = "import sys, kthreads, kthreads.cli.main; print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_all_names_what_is_there_in_order():
    assert kthreads.__all__ == sorted(kthreads.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    for name in kthreads.__all__:
        assert hasattr(kthreads, name)


@pytest.mark.parametrize("name", kthreads.__all__)
def test_what_is_public_says_what_it_is(name):
    item = getattr(kthreads, name)
    assert callable(item) is False or item.__doc__


PUBLIC_MODULES = ("errors", "flags", "limits", "memory", "mounts", "namespaces", "pools", "processes", "threads")


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_what_a_public_module_names_is_there_and_in_the_reference(module):
    reference = (ROOT / "docs" / "reference.md").read_text()
    found = importlib.import_module(f"kthreads.{module}")
    for name in found.__all__:
        assert hasattr(found, name)
        assert re.search(rf"\b{name}\b", reference), f"docs/reference.md does not name kthreads.{module}.{name}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("csrc/**/*.[ch]")) + sorted(PACKAGE.glob("**/*.py")), ids=str)
def test_files_are_short_enough_to_read(path):
    assert len(path.read_text().splitlines()) <= (500 if path.suffix in ".c.h" else 450)


@pytest.mark.parametrize(("compiler", "standard", "suffix"), [("cc", "c11", ".c"), ("c++", "c++11", ".cpp")])
def test_the_header_is_c11_and_cpp11(compiler, standard, suffix, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    source = tmp_path / f"header{suffix}"
    source.write_text("#include <kthreads/kthreads.h>\nint main(void) { return (int)sizeof(kt_spec) == 0; }\n")
    subprocess.run(
        [compiler, f"-std={standard}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
        + [f"-I{kthreads.get_include()}", source],
        check=True,
    )


@pytest.mark.parametrize("module", [_native, _call], ids=["_native", "_call"])
def test_an_extension_exports_only_its_entry(module):
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    lines = subprocess.run(
        ["nm", "--dynamic", "--defined-only", module.__file__], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    entry = module.__name__.replace("kthreads.", "PyInit_")
    assert [line.split()[-1] for line in lines if "PyInit" in line or " T " in line] == [entry]


def test_the_example_in_c_prints_the_sum(tmp_path):
    """The program of docs/howto/from-c.md, with the engine compiled in."""
    compiler = shutil.which("cc")
    if compiler is None or not (ROOT / "csrc").exists():
        pytest.skip("no C compiler, or not a source tree")
    arch = {"x86_64": "x86_64", "aarch64": "aarch64"}[platform.machine()]
    sources = [
        *(path for folder in ENGINE for path in (ROOT / "csrc" / folder).glob("*.c")),
        ROOT / "csrc" / "arch" / arch / "clone.S",
    ]
    subprocess.run(
        [compiler, "-O1", "-std=gnu11", "-pthread", ROOT / "docs/examples/sum.c", *sources, "-o", tmp_path / "sum"]
        + [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'csrc/arch' / arch}", f"-I{kthreads.get_include()}", "-lgcc_s"],
        check=True,
    )
    done = subprocess.run([tmp_path / "sum"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{sum(range(4000))}\n"


def commands_of(text: str) -> list[str]:
    return re.findall(r"<!-- (\w+) command -->\n```sh\n(.*?)\n```\n<!-- end -->", text, re.DOTALL)


def test_the_readme_has_its_two_commands_and_ci_runs_the_tests_one():
    commands = dict(commands_of((ROOT / "README.md").read_text()))
    assert set(commands) == {"demo", "test"}
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


def test_the_readme_links_to_what_exists():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_the_versions_agree():
    assert f'version = "{kthreads.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"version: '{kthreads.__version__}'" in (ROOT / "meson.build").read_text()


def test_pre_commit_and_ci_run_each_check_of_the_sources():
    checks = set(re.findall(r"^    ([a-z-]+)\) ", (ROOT / "tools" / "lint").read_text(), re.MULTILINE))
    hooks = set(re.findall(r"entry: tools/lint ([a-z-]+)", (ROOT / ".pre-commit-config.yaml").read_text()))
    in_ci = {
        word for line in re.findall(r"tools/lint (.*)", (ROOT / ".ci" / "run").read_text()) for word in line.split()
    }
    assert checks == hooks == in_ci
    assert len(checks) == 5
