"""C from source: compiled once, loaded, and called."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest

import kthreads
from kthreads.errors import BuildCacheError, CompileError, CompilerNotFoundError, SymbolNotFoundError

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
FAST = ["-O0"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of compiled libraries."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "kthreads"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A C compiler that counts in a file how often it compiles."""
    count = tmp_path / "count"
    script = tmp_path / "counting-cc"
    script.write_text(
        f'#!/bin/sh\ncase " $* " in *" -shared "*) echo >> {count};; esac\nexec {shutil.which("cc")} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    count.touch()
    return lambda: len(count.read_text())


def folders(cache):
    return sorted(path.name for path in cache.iterdir())


def test_functions_have_the_signatures_of_the_source():
    library = kthreads.compile_c(
        """
        #include <math.h>
        #include <stdint.h>
        #include <sys/types.h>
        #define ROWS 3
        enum mode { PLAIN, TWICE };
        typedef struct point { double x, y; } point;
        double norm(const point *p) { return sqrt(p->x * p->x + p->y * p->y); }
        int64_t times(uint8_t a, enum mode mode) { return mode == TWICE ? 2 * a : a; }
        off_t same(off_t offset) { if (offset == 0) { return 0; } return offset; }
        """,
        flags=FAST,
    )
    assert library.norm.signature == "double(const struct point *)"
    assert library.times.signature == "int64_t(uint8_t, unsigned int)"
    assert library.same.signature == "long(long)"
    assert library.norm(np.array([3.0, 4.0])) == 5
    assert library.times(100, library.TWICE) == 200
    assert library.ROWS == 3


def test_functions_that_are_not_defined_or_not_exported_are_left_out():
    library = kthreads.compile_c(
        """
        long labs(long);
        static int hidden(int x) { return x; }
        static inline int also_hidden(int x) { return x; }
        int shown(int x) { return hidden(x) + also_hidden(x) + (int)labs(x); }
        """,
        flags=FAST,
    )
    assert dir(library) == ["shown"]
    assert library.shown(-2) == -2


def test_a_function_that_macros_write_is_found():
    library = kthreads.compile_c(
        """
        #include <stddef.h>
        #define ADD(TYPE) TYPE add_##TYPE(TYPE a, TYPE b) { return a + b + (NULL != NULL); }
        ADD(int)
        ADD(double)
        """,
        flags=FAST,
    )
    assert (library.add_int(1, 2), library.add_double(1.5, 2)) == (3, 3.5)


def test_a_function_that_cannot_be_called_says_why():
    library = kthreads.compile_c("struct s { int x; }; struct s f(int x) { return (struct s){x}; }", flags=FAST)
    with pytest.raises(TypeError, match="struct s by value"):
        library.f  # noqa: B018


def test_what_other_ways_of_calling_would_make_wrong_is_refused():
    library = kthreads.compile_c(
        """
        typedef int vector __attribute__((vector_size(16)));
        typedef struct { int x; } int8_t;
        enum __attribute__((packed)) small { ONE };
        typedef short int16_t __attribute__((vector_size(16)));
        int first(vector v) { return v[0]; }
        int second(int16_t *v) { return (*v)[1]; }
        int field(int8_t *p) { return p->x; }
        int byte(enum small s) { return s; }
        int old(a, b) int a; double b; { return a + (int)b; }
        _Static_assert(sizeof(enum small) == 1, "it is packed");
        """,
        flags=[*FAST, "-std=gnu11"],
    )
    assert "old" not in dir(library)
    for name in ("first", "second", "field", "byte"):
        with pytest.raises(TypeError):
            library[name]


def test_it_is_compiled_once(cache, compiler):
    first = kthreads.compile_c("int f(int x) { return x + 1; }", flags=FAST)
    second = kthreads.compile_c("int f(int x) { return x + 1; }", flags=FAST)
    assert first.f == second.f
    assert compiler() == 1
    assert len(folders(cache)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"source": "int f(int x) { return x + 2; }"},
        {"flags": ["-O1"]},
        {"libraries": ["c"]},
        {"source": "#define __kthreads_test\nint f(int x) { return x + 1; }"},
    ],
    ids=["source", "flags", "libraries", "macro"],
)
def test_it_is_compiled_again_for_another(other, cache):
    what = {"source": "int f(int x) { return x + 1; }", "flags": FAST}
    for options in (what, what | other):
        options = dict(options)
        kthreads.compile_c(options.pop("source"), **options)
    assert len(folders(cache)) == 2


def test_a_header_that_has_changed_is_seen(tmp_path, compiler):
    folder = tmp_path / "include"
    folder.mkdir()
    found = []
    for number in (1, 2, 1):
        (folder / "number.h").write_text(f"#define NUMBER {number}\n")
        library = kthreads.compile_c(
            '#include "number.h"\nint f(void) { return NUMBER; }', includes=[folder], flags=FAST
        )
        found.append(library.f())
    assert found == [1, 2, 1]
    assert compiler() == 2


def test_another_version_of_the_compiler_compiles_again(tmp_path, monkeypatch, cache):
    for version in "12":
        script = tmp_path / f"cc{version}"
        script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version} && exit\nexec cc "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        kthreads.compile_c("int f(void) { return 0; }", flags=FAST)
    assert len(folders(cache)) == 2


def test_diagnostics_name_the_lines_of_the_source():
    with pytest.raises(CompileError, match=r"source\.c:3:\d+: error: .*nonsense") as caught:
        kthreads.compile_c("int f(int x)\n{\n    return nonsense;\n}\n", flags=FAST)
    assert "return nonsense;" in caught.value.diagnostics
    assert "-shared" in caught.value.command
    assert isinstance(caught.value, ValueError)
    assert pickle.loads(pickle.dumps(caught.value)).diagnostics == caught.value.diagnostics


def test_a_missing_header_is_named_with_its_line():
    with pytest.raises(CompileError, match=r"source\.c:2:\d+: .*no_such_header\.h"):
        kthreads.compile_c('\n#include "no_such_header.h"\n', flags=FAST)


def test_what_failed_leaves_nothing_behind(cache):
    with pytest.raises(CompileError):
        kthreads.compile_c("int f(", flags=FAST)
    assert folders(cache) == []


def test_a_symbol_that_no_library_has_is_an_error():
    with pytest.raises(CompileError, match=r"undefined symbol: nowhere.*libraries="):
        kthreads.compile_c("int nowhere(int); int f(int x) { return nowhere(x); }", flags=FAST)


def test_libraries_are_linked_by_name_and_by_path(tmp_path):
    (tmp_path / "other.c").write_text("int other(int x) { return 2 * x; }")
    path = tmp_path / "libother.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, tmp_path / "other.c"], check=True)
    library = kthreads.compile_c(
        "int other(int); double floor(double); int f(int x) { return other(x) + (int)floor(0.5); }",
        libraries=["m", str(path)],
        flags=FAST,
    )
    assert library.f(4) == 8


def test_a_file_is_compiled_where_it_lies(tmp_path):
    (tmp_path / "part.h").write_text("#define PART 5\n")
    (tmp_path / "whole.c").write_text('#include "part.h"\nint f(void) { return PART; }\n')
    assert kthreads.compile_c(tmp_path / "whole.c", flags=FAST).f() == 5
    (tmp_path / "whole.c").write_text("int f(void) { return part; }\n")
    with pytest.raises(CompileError, match=r"whole\.c:1:\d+: error"):
        kthreads.compile_c(tmp_path / "whole.c", flags=FAST)


def test_files_that_differ_in_bytes_that_are_no_text_give_different_libraries(tmp_path):
    found = []
    for byte in (b"\xe9", b"\xff"):
        (tmp_path / "latin.c").write_bytes(b'int f(void) { return (unsigned char)"' + byte + b'"[0]; }\n')
        found.append(kthreads.compile_c(tmp_path / "latin.c", flags=FAST).f())
    assert found == [0xE9, 0xFF]


def test_text_may_have_any_letters():
    assert kthreads.compile_c('/* \u00e9 */ int f(void) { return (unsigned char)"\u00e9"[0]; }', flags=FAST).f() == 0xC3


def test_text_includes_files_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.h").write_text("#define HERE 6\n")
    assert kthreads.compile_c('#include "here.h"\nint f(void) { return HERE; }\n', flags=FAST).f() == 6


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_cpp_gives_its_extern_c_functions():
    library = kthreads.compile_c(
        """
        #include <cmath>
        #include <cstddef>
        template <class T> T twice(T x) { return x + x; }
        namespace inner { double not_c(double x) { return x; } }
        class counter { int n = 0; public: int next() { return ++n; } };
        int not_c(int x) { return x; }
        extern "C" {
        double f(double x) noexcept { return twice(std::floor(x)); }
        std::size_t first(const std::size_t *p) { return *p; }
        }
        extern "C" int g(int x) { return counter().next() + x; }
        """,
        language="c++",
        flags=FAST,
    )
    assert dir(library) == ["f", "first", "g"]
    assert (library.f(2.5), library.first.signature, library.g(1)) == (4, "size_t(const size_t *)", 2)


def test_functions_can_be_pickled():
    function = kthreads.compile_c("int f(int x) { return x + 1; }", flags=FAST).f
    assert pickle.loads(pickle.dumps(function)) == function


def test_file_and_line_of_an_assertion_are_those_of_the_source():
    library = kthreads.compile_c(
        "#include <string.h>\nint f(const char *name) { return strcmp(__FILE__, name); }", flags=FAST
    )
    assert library.f(os.path.join(os.path.dirname(library.f.library), "source.c")) == 0


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"flags": "-O2"}, TypeError, r"flags are a sequence of str, not one str: pass \('-O2',\)"),
        ({"libraries": "m"}, TypeError, "libraries are a sequence"),
        ({"includes": "/tmp"}, TypeError, "includes are a sequence"),
        ({"language": "rust"}, ValueError, "language is 'c' or 'c\\+\\+', not 'rust'"),
        ({"flags": ["--no-such-option"]}, CompileError, "no-such-option"),
        ({"flags": ["-c"]}, CompileError, "made no shared library"),
        ({"flags": ["-E"]}, CompileError, "made no shared library"),
        ({"flags": ["-O2", "-mabi=ms"]}, ValueError, "-mabi=ms changes types or calls"),
    ],
)
def test_wrong_options_are_refused(options, error, why):
    with pytest.raises(error, match=why):
        kthreads.compile_c("int f(void) { return 0; }", **options)


@pytest.mark.parametrize("source", [None, b"int f(void);", 7])
def test_a_source_is_text_or_a_path(source):
    with pytest.raises(TypeError, match="source is a str of C or the path of a file"):
        kthreads.compile_c(source)


def test_the_compiler_that_cc_names_must_be_there(monkeypatch):
    monkeypatch.setenv("CC", "/no/such/compiler -m64")
    with pytest.raises(CompilerNotFoundError, match="CC names the compiler '/no/such/compiler', which is not there"):
        kthreads.compile_c("int f(void) { return 0; }")


def test_no_compiler_at_all_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CompilerNotFoundError, match="install gcc or clang, or set CC"):
        kthreads.compile_c("int f(void) { return 0; }")


# ---- The folder of libraries ---------------------------------------------------------------------------------------------


def test_the_folder_is_private(cache):
    kthreads.compile_c("int f(void) { return 0; }", flags=FAST)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o750])
def test_a_folder_that_others_can_use_is_refused(cache, mode):
    cache.mkdir(parents=True)
    cache.chmod(mode)
    with pytest.raises(BuildCacheError, match=f"open to other users .mode {mode:04o}.*XDG_CACHE_HOME"):
        kthreads.compile_c("int f(void) { return 0; }")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(cache):
    cache.mkdir(parents=True, mode=0o700)
    os.chown(cache, 12345, 12345)
    with pytest.raises(BuildCacheError, match="belongs to user 12345"):
        kthreads.compile_c("int f(void) { return 0; }")


def test_a_link_to_a_folder_is_refused(cache, tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "real")
    with pytest.raises(BuildCacheError, match="is not a folder"):
        kthreads.compile_c("int f(void) { return 0; }")


def test_a_folder_that_cannot_be_made_is_refused(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")
    with pytest.raises(BuildCacheError, match="cannot be made"):
        kthreads.compile_c("int f(void) { return 0; }")


@pytest.mark.parametrize("damaged", ["library.so", "names.json"])
@pytest.mark.parametrize("how", ["emptied", "removed"])
def test_a_damaged_library_is_made_again(cache, damaged, how):
    source = f"int f(void) {{ return {len(damaged)}; }}"
    kthreads.compile_c(source, flags=FAST)
    (folder,) = cache.iterdir()
    (folder / damaged).unlink()
    if how == "emptied":
        (folder / damaged).touch()
    assert kthreads.compile_c(source, flags=FAST).f() == len(damaged)
    assert sorted(path.name for path in cache.rglob("*.*")) == ["library.so", "names.json", "source.c"]


def test_builds_that_were_abandoned_are_removed(cache):
    kthreads.compile_c("int f(void) { return 0; }", flags=FAST)
    for name, age in ((".unfinished-old", 10**6), (".unfinished-new", 0)):
        (cache / name).mkdir()
        now = cache.stat().st_mtime
        os.utime(cache / name, (now - age, now - age))
    kthreads.compile_c("int f(void) { return 1; }", flags=FAST)
    assert {".unfinished-new"} == {name for name in folders(cache) if name.startswith(".")}


def test_many_processes_compile_at_once(cache):
    program = (
        "import kthreads; f = kthreads.compile_c('int f(int x) { return x + 1; }', flags=['-O0']).f; assert f(1) == 2"
    )
    children = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(6)]
    assert [child.wait() for child in children] == [0] * 6
    (folder,) = cache.iterdir()
    assert folder.name[0] != "."


def test_a_function_that_is_hidden_in_the_library_is_missed_when_it_is_used():
    library = kthreads.compile_c("int f(int x) { return x; }", flags=[*FAST, "-fvisibility=hidden"])
    with pytest.raises(SymbolNotFoundError):
        library.f  # noqa: B018
