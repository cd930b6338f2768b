"""What is imported when: by a program the whole library at once, by a command what it uses, and nothing in another root."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from process_runs import isolated, needs_root
from programs import FORK, printed

import kthreads

PACKAGE = Path(kthreads.__file__).parent
# What people run and what that uses, and what few programs use.
FOR_SOME = ("bench", "cli", "demo", "integrations", "lab", "libraries", "own_cgroup", "programs")
MODULES = sorted(
    "kthreads." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path not in (PACKAGE / "__init__.py", PACKAGE / "__main__.py")
)
OF_LIBRARIES = {f"kthreads.functions.{name}" for name in ("constant_expression", "external_declaration", "header")}
OF_THE_LIBRARY = [name for name in MODULES if name.split(".")[1] not in FOR_SOME and name not in OF_LIBRARIES]
LATE = {"Library", "compile_c"}


# ---- Programs ------------------------------------------------------------------------------------------------------------


def test_a_program_imports_the_whole_library_at_once():
    loaded = printed("import json, sys, kthreads; print(json.dumps(list(sys.modules)))")
    assert set(OF_THE_LIBRARY) <= set(json.loads(loaded))


def test_no_name_is_imported_when_it_is_used():
    program = f"""
import sys, kthreads
before = set(sys.modules)
for name in set(dir(kthreads)) - {LATE | {"libraries"}}:
    getattr(kthreads, name)
print(set(sys.modules) - before)
"""
    assert printed(program) == "set()\n"


def test_a_star_imports_all_public_names():
    program = "import kthreads; names = set(kthreads.__all__); from kthreads import *; print(names - set(globals()))"
    assert printed(program) == "set()\n"


def test_dir_has_all_public_names():
    assert set(kthreads.__all__) <= set(dir(kthreads))


def test_a_name_of_a_package_is_that_of_its_module():
    assert kthreads.Thread is kthreads.threads.Thread
    assert kthreads.Process is kthreads.processes.Process
    assert kthreads.setns is kthreads.namespaces.setns
    assert kthreads.explain is kthreads.flags.explain


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kthreads' has no attribute 'nothing'"):
        _ = kthreads.nothing


@pytest.mark.parametrize("package", ["kthreads", "kthreads.flags", "kthreads.namespaces", "kthreads.processes"])
def test_type_checkers_find_a_name_where_it_is_imported_from(package):
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).read_text())
    stated = [node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    found = {
        (alias.name, each.module)
        for node in stated
        for each in node.body
        for alias in each.names
        if alias.name[0] != "_"
    }
    assert found
    for name, place in found:
        assert getattr(module, name) is getattr(importlib.import_module(place), name)


# ---- Commands ------------------------------------------------------------------------------------------------------------

AS_COMMAND = """
import json, os, sys
import kthreads_command
class Looked:
    def find_spec(self, name, path=None, target=None):
        looked.append(name)
looked = []
sys.meta_path.insert(0, Looked())
"""
# What takes long to import and is of no use for the start of a program.
HEAVY = {
    "ast", "asyncio", "concurrent.futures", "csv", "ctypes", "dataclasses", "dis", "hashlib", "inspect", "json", "logging",
    "multiprocessing", "pathlib", "platform", "random", "rich", "shutil", "socket", "sysconfig", "tempfile", "termios",
}  # fmt: skip


def imported_by(*words: str) -> set[str]:
    """What a command looks for. What the interpreter had imported before is forgotten first, but for its own."""
    program = f"""{AS_COMMAND}
for name in {sorted(HEAVY)}:
    sys.modules.pop(name, None)
from kthreads.cli.main import main
status = main(sys.argv[1:])
print(status, *looked)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    status, *looked = done.stdout.splitlines()[-1].split()
    assert status == "0", done.stderr
    return set(looked)


def without_the_build(names: set[str]) -> set[str]:
    """An editable install is built as it is imported."""
    builds = any(hasattr(finder, "_build_path") for finder in sys.meta_path)
    return names - ({"json", "shutil", "tempfile", "random", "pathlib", "inspect", "ast"} if builds else set())


@isolated
def test_run_imports_what_it_uses():
    looked = imported_by("run", "true")
    assert without_the_build(looked & HEAVY) == set()
    folders = {name.split(".")[1] for name in looked if name.startswith("kthreads.")}
    assert not folders & {"functions", "libraries", "pools", "threads", "lab", "bench", "demo", "limits"}
    assert {name for name in looked if name.startswith("kthreads.flags.")} == {"kthreads.flags.clone_flags"}
    assert len(looked) < 150


@pytest.mark.parametrize("words", [("unshare", "--version"), ("nsenter", "--version"), ("run", "--help")])
def test_a_command_imports_neither_rich_nor_threads(words):
    program = f"""{AS_COMMAND}
from kthreads.cli.main import main
try:
    main({list(words)})
except SystemExit:
    print(); print(*looked)
"""
    looked = set(printed(program).splitlines()[-1].split())
    assert not looked & {"rich", "asyncio", "concurrent.futures", "kthreads.threads", "kthreads.pools"}


def test_every_module_can_be_the_first_of_a_command():
    program = f"""{FORK}
import importlib
import kthreads_command
import kthreads
failed = []
for name in sys.argv[1:]:
    def use():
        importlib.import_module(name)
    if status_of(fork()) != 3:
        failed.append(name)
print(failed)
"""
    assert printed(program, *OF_THE_LIBRARY) == "[]\n"


def test_a_command_knows_the_names_of_the_library_too():
    program = "import kthreads_command, kthreads; print(kthreads.Pool.__name__, kthreads.flags.Situation.__name__)"
    assert printed(program) == "Pool Situation\n"


# ---- In another root -----------------------------------------------------------------------------------------------------

# Prints what is looked for where another root is seen than at the beginning.
WATCHED = """
import os, sys
def place():
    seen = os.stat("/")
    return seen.st_dev, seen.st_ino
at_first = place()
class Watch:
    def find_spec(self, name, path=None, target=None):
        if place() != at_first:
            os.write(report, f"{name}\\n".encode())
report = int(sys.argv.pop(1))
sys.meta_path.insert(0, Watch())
"""


def looked_for_in_another_root(program: str, *words: str) -> tuple[str, int]:
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", WATCHED + program, str(writer), *words],
            pass_fds=[writer],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        os.set_blocking(reader, False)
        os.close(writer)
        writer = -1
        return os.read(reader, 1 << 16).decode(), done.returncode
    finally:
        for fd in {reader, writer} - {-1}:
            os.close(fd)


@isolated
@needs_root
@pytest.mark.parametrize(
    "words", [("unshare", "-m", "-R"), ("unshare", "-m", "-p", "-f", "-R"), ("nsenter", "-t1", "-r")]
)
@pytest.mark.parametrize("program", ["true", "nothing-there"])
def test_a_command_imports_nothing_in_another_root(tmp_path, words, program):
    (tmp_path / "bin").mkdir()
    *options, last = words
    root = [f"{last}{tmp_path}"] if options[0] == "nsenter" else [last, str(tmp_path)]
    as_script = "import kthreads_command\nsys.argv[0] = 'kthreads'\nsys.exit(kthreads_command.main())"
    found, status = looked_for_in_another_root(as_script, *options, *root, program)
    assert found == ""
    assert status != 0  # there is no such program in this root: the error was printed there


@isolated
@needs_root
def test_a_python_child_imports_nothing_of_the_library_in_another_root(tmp_path):
    program = """
import kthreads
from kthreads import CloneFlags, Process
from kthreads.mounts import Tmpfs

def child():
    kthreads.Process
    with kthreads.Pool(1) as pool:
        assert pool.submit(abs, -1).result() == 1
    thread = kthreads.Thread(target=abs, args=(1,))
    thread.start()
    thread.join()

process = Process(child, namespaces=CloneFlags.NEWNS | CloneFlags.NEWPID, root=Tmpfs(), proc=False, pass_fds=[report])
sys.exit(process.wait())
"""
    assert looked_for_in_another_root(program) == ("", 0)


@isolated
@needs_root
def test_a_watch_sees_what_is_imported_in_another_root(tmp_path):
    program = (
        "import kthreads, os\nos.chroot(sys.argv[1])\ntry:\n    import sched\nexcept ImportError:\n    sys.exit(7)"
    )
    assert looked_for_in_another_root(program, str(tmp_path)) == ("sched\n", 7)
