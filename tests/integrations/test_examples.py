"""The programs of docs/howto/integrations.md print what they say."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "integrations"


def run(program: Path) -> None:
    said = [
        line.removeprefix("# prints: ") for line in program.read_text().splitlines() if line.startswith("# prints: ")
    ]
    assert said
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False, timeout=100)
    assert (done.stdout.splitlines(), done.returncode) == (said, 0), done.stderr


def need(*modules: str, extra: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install 'kthreads[{extra}]'")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("numba_body", "numba", "numba"),
        ("joblib_backend", "joblib", "joblib"),
        ("dask_cluster", "distributed", "dask"),
        ("threadpoolctl_limits", "threadpoolctl", "threadpoolctl"),
    ],
)
def test_an_example_prints_what_it_says(name, module, extra):
    need(module, extra=extra)
    run(EXAMPLES / f"{name}.py")


def test_the_example_in_cython_is_compiled_and_prints_what_it_says(tmp_path):
    need("Cython", "setuptools", "numpy", extra="cython")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        pytest.skip("the headers of Python are not installed")
    for name in ("bodies.pyx", "cython_body.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    subprocess.run(
        [sys.executable, "-m", "Cython.Build.Cythonize", "-i", "bodies.pyx"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    run(tmp_path / "cython_body.py")


def test_every_example_is_shown_in_the_docs():
    page = (EXAMPLES.parents[1] / "howto" / "integrations.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".pyx"):
            assert f"../examples/integrations/{path.name}" in page
