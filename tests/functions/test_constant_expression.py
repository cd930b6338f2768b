"""Constant expressions: the value that C gives them, or a refusal."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kthreads
from kthreads.functions.c_tokens import tokens_of
from kthreads.functions.constant_expression import NotConstantError, constant_value
from kthreads.functions.scope import Scope


def value_of(text: str, **macros: str) -> int:
    scope = Scope()
    scope.macros = {name: texts_of(macro) for name, macro in macros.items()}
    scope.constants = {"SIX": 6, "HUGE": 2**32}
    return constant_value(texts_of(text), scope)


def texts_of(text: str) -> list[str]:
    return [token.text for token in tokens_of(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7), ("0x1F", 31), ("017", 15), ("0b101", 5), ("12uL", 12), ("'a'", 97), (r"'\n'", 10), ("-1", -1),
        ("~0", -1), ("~0u", 2**32 - 1), ("~0UL", 2**64 - 1), ("-1 < 0u", 0), ("-1 < 0", 1), ("1 << 4 | 3", 19),
        ("-7 / 2", -3), ("-7 % 2", -1), ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("8 - 3 - 2", 3), ("1 ? 2 : 3", 2),
        ("0 ? 2 : 0 ? 3 : 4", 4), ("!5 + 1", 1), ("SIX * 7", 42), ("HUGE", 2**32), ("sizeof(long) * 2", 16),
        ("(unsigned char)300", 44), ("(int)0xffffffff", -1), ("0xffffffff", 2**32 - 1), ("4294967295", 2**32 - 1),
        ("5 > 3 && 2 != 2", 0), ("sizeof ( unsigned int )", 4),
    ],
)  # fmt: skip
def test_an_expression_has_the_value_that_c_gives_it(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.5", '"1"', "1 +", "(1", "1 2", "2147483647 + 1", "1 << 32", "-1 << 1", "1 / 0", "1 % 0", "(double)1",
     "HUGE + 1", "99999999999999999999", "f(1)", "sizeof(x)", "~" * 1000 + "1", "''", "(" * 1000],
)  # fmt: skip
def test_what_has_no_value_that_is_sure_is_refused(text):
    with pytest.raises(NotConstantError):
        value_of(text)


def test_a_macro_is_replaced_by_its_tokens_as_in_c():
    assert value_of("A * 2", A="1 + 2") == 5
    assert value_of("~A", A="0xffffffffu") == 0
    assert value_of("A", A="B + 1", B="C", C="3") == 4


def test_macros_that_name_each_other_end():
    with pytest.raises(NotConstantError):
        value_of("A", A="B", B="A")
    with pytest.raises(NotConstantError, match="too long"):
        value_of("M0", **{f"M{n}": f"M{n + 1} + M{n + 1}" for n in range(40)})


NUMBERS = st.builds(
    lambda number, base, suffix: (hex(number) if base else str(number)) + suffix,
    st.one_of(st.integers(0, 40), st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1])),
    st.booleans(),
    st.sampled_from(["", "", "u", "L", "uLL"]),
)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-~!"), inner).map(lambda parts: f"{parts[0]} ({parts[1]})"),
        st.tuples(
            inner,
            st.sampled_from(["+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "<", ">=", "==", "&&", "||"]),
            inner,
        ).map(" ".join),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} ? {parts[1]} : {parts[2]})"),
        st.tuples(st.sampled_from(["int", "unsigned", "signed char", "long"]), inner).map(
            lambda parts: f"(({parts[0]})({parts[1]}))"
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(texts=st.lists(EXPRESSIONS, min_size=100, max_size=150))
def test_a_value_is_the_one_that_the_compiler_calculates(texts, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    known = {}
    for text in texts:
        try:
            known[text] = value_of(text)
        except NotConstantError:
            continue
    cases = "".join(f"case {number}: return (unsigned long)({text});\n" for number, text in enumerate(known))
    source = f"unsigned long value(int number)\n{{\nswitch (number) {{\n{cases}}}\nreturn 0;\n}}\n"
    library = kthreads.compile_c(source, flags=["-O0", "-w"])
    for number, (text, value) in enumerate(known.items()):
        assert library.value(number) == value % 2**64, text
