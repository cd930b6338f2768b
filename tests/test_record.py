"""A Record is like an object of a frozen dataclass."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys

import pytest

from kthreads.mounts import Bind, Tmpfs
from kthreads.record import Record


class Point(Record):
    """A point."""

    x: int
    y: int = 2


class Checked(Record):
    """A number that is not 0."""

    number: int

    def __post_init__(self) -> None:
        if self.number == 0:
            raise ValueError("0")


class Loose(Record, frozen=False):
    """What may change."""

    number: int = 1


def test_values_are_given_by_position_or_name_or_are_the_default():
    assert (Point(1).x, Point(1).y, Point(1, 3).y, Point(y=4, x=0).y) == (1, 2, 3, 4)


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)])
def test_arguments_that_do_not_fit_are_a_type_error(arguments):
    with pytest.raises(TypeError, match=r"Point\.__init__"):
        Point(*arguments)


def test_objects_of_equal_values_are_equal_and_have_one_hash():
    assert Point(1) == Point(1, 2) != Point(2)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Point(1) != (1, 2)


def test_its_text_can_be_read_back():
    assert repr(Point(1)) == "Point(x=1, y=2)"


def test_nothing_can_be_assigned_or_deleted():
    with pytest.raises(AttributeError, match="cannot assign to field 'x'"):
        Point(1).x = 2
    with pytest.raises(AttributeError, match="cannot delete field 'x'"):
        del Point(1).x


def test_one_that_is_not_frozen_can_be_changed():
    loose = Loose()
    loose.number = 5
    assert loose == Loose(5)


def test_values_are_checked_where_the_class_does():
    with pytest.raises(ValueError, match="0"):
        Checked(0)


def test_the_functions_of_dataclasses_take_it():
    assert dataclasses.is_dataclass(Point)
    assert [field.name for field in dataclasses.fields(Point)] == ["x", "y"]
    assert dataclasses.replace(Point(1), y=5) == Point(1, 5)
    assert dataclasses.asdict(Tmpfs("/tmp"))["target"] == "/tmp"


def test_a_dataclass_can_be_made_of_it():
    @dataclasses.dataclass(frozen=True)
    class Named(Point):
        name: str = ""

    assert Named(1, 2, "a").name == "a"


def test_a_class_of_it_has_its_values():
    class Other(Point):
        pass

    class More(Point):
        z: int = 3

    assert Other(1) == Other(1, 2)
    assert More(1).z == 3


def test_it_can_be_matched_copied_and_pickled():
    match Point(1):
        case Point(x, y):
            assert (x, y) == (1, 2)
    assert copy.copy(Point(1)) == Point(1)
    assert pickle.loads(pickle.dumps(Bind("/tmp", "/x"))) == Bind("/tmp", "/x")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is of Python 3.13")
def test_copy_replaces_values():
    assert copy.replace(Point(1), x=3) == Point(3)


def test_its_signature_has_names_and_defaults():
    assert str(inspect.signature(Point)) == "(x: 'int', y: 'int' = 2) -> None"
