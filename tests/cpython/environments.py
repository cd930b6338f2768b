"""Virtual environments of the running Python: a plain one, and one in which kthreads' classes are swapped in."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NEEDED = ("_cffi_backend", "cffi", "pycparser")


@dataclass(frozen=True)
class Environments:
    """The interpreters of both."""

    plain: Path
    swapped: Path


def has_test_package() -> bool:
    """Whether the running Python's own tests are installed; Linux distributions often have them in a package of their own."""
    return has_module("test.support")


def has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def make(folder: Path, packages: Path | None = None) -> Environments:
    """Makes both in a folder. `packages`: a folder of packages that are installed for both."""
    plain, swapped = _make_one(folder / "plain", packages), _make_one(folder / "swapped", packages)
    site_packages = _site_packages(folder / "swapped")
    _copy_kthreads(site_packages)
    for name in NEEDED:
        _copy_module(name, site_packages)
    shutil.copy(HERE / "swapped_classes.py", site_packages)
    (site_packages / "swapped_classes.pth").write_text("import swapped_classes\n")
    check = "import threading, kthreads; assert threading.Thread is kthreads.Thread"
    subprocess.run([swapped, "-I", "-c", check], check=True, timeout=60)
    return Environments(plain, swapped)


def _make_one(folder: Path, packages: Path | None) -> Path:
    subprocess.run([sys._base_executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    if packages is not None:
        (_site_packages(folder) / "packages.pth").write_text(f"{packages}\n")
    return folder / "bin" / "python"


def _site_packages(environment: Path) -> Path:
    return next(environment.glob("lib/python3*/site-packages"))


def _copy_kthreads(site_packages: Path) -> None:
    """Copies what is installed here. Of an editable install, the extension lies in another folder than the package."""
    import kthreads._native

    shutil.copytree(
        Path(kthreads.__file__).parent, site_packages / "kthreads", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(kthreads._native.__file__, site_packages / "kthreads")


def _copy_module(name: str, site_packages: Path) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, site_packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(origin, site_packages)
