"""Which modules of the running Python's test package are run, and where."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

# What a module that uses threads says, itself or by way of a helper.
USES_THREADS = re.compile(
    r"\bimport threading|threading\.|_thread\b|concurrent\.futures|multiprocessing|lock_tests|fork_wait|ssl_servers"
    r"|test_asyncio|threading_helper|run_in_executor|to_thread|socketserver"
)
# They have no threads, or test what has no Thread in it, or other platforms.
LEFT_OUT = re.compile(
    r"test\.(test___all__|test_gdb|test_regrtest|test_winreg|test_winapi|test_wmi|test_android|test_pydoc|test_inspect|test_venv"
    r"|test_embed|test_asyncio\.test_windows_\w+|test_free_threading|test_ctypes|test_enum|test_tools|test_ensurepip"
    r"|test_unittest|test_stable_abi_ctypes|test_tkinter|test_ttk|test_idle|test_turtle|test_zoneinfo|test_email"
    r"|test_readline|test_webbrowser|test_largefile|test_genericalias|test_patma|test_opcache|test_peepholer|test_super"
    r"|test_ttk_textonly|test_turtledemo|test_zipfile64|test_crashers|test_bdb)(\.|$)"
)

# Where threads matter most, and which take little time: what .ci/run runs on each Python.
IN_CI = re.compile(
    r"test\.(test_threading|test_thread|test_threading_local|test_threadedtempfile|test_threadsignals|test_queue|test_sched"
    r"|test_context|test_concurrent_futures(\.(test_thread_pool|test_wait|test_as_completed|test_shutdown|test_init|test_future))?"
    r"|test_faulthandler|test_fork1|test_thread_local_bytecode|test_signal|test_socketserver|test_logging|test_trace|test_frame"
    r"|test_asyncio\.(test_threads|test_base_events|test_futures|test_futures2|test_locks|test_runners|test_unix_events)"
    r"|test_multiprocessing_\w+\.test_threads|test_importlib\.(test_threaded_import|test_locks)"
    r"|test_interpreters(\.test_api)?|test__xxsubinterpreters|test__interpreters|test_weakref|test_contextlib|test_poll"
    r"|test_xmlrpc|test_sys|test_subprocess|test_functools)$"
)


def all_modules() -> list[str]:
    """Those that use threads, as far as their text tells."""
    spec = importlib.util.find_spec("test")
    assert spec is not None
    assert spec.origin is not None
    found = _modules(Path(spec.origin).parent, "test")
    return sorted(name for name, text in found if USES_THREADS.search(text) and not LEFT_OUT.match(name))


def modules_for_ci() -> list[str]:
    return [name for name in all_modules() if IN_CI.match(name)]


def _modules(folder: Path, package: str) -> Iterator[tuple[str, str]]:
    """The names and texts of test modules; of a package, those of its modules where it has any, or its own."""
    for path in sorted(folder.glob("test_*")):
        name = f"{package}.{path.stem}"
        if path.suffix == ".py":
            yield name, path.read_text(errors="replace")
        elif (path / "__init__.py").exists():
            inner = list(_modules(path, name))
            yield from inner or [(name, (path / "__init__.py").read_text(errors="replace"))]
