"""Objects of a few values that do not change, as dataclasses makes them.

The module dataclasses imports inspect and all that this needs, which takes longer than to start a container.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn, dataclass_transform

__all__ = ["Record"]


class _OfDataclasses:
    """What the functions of dataclasses look at in a class, made when they do."""

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, _: object, owner: type[Record]) -> Any:
        import dataclasses

        missing = dataclasses.MISSING
        fields = [
            (name, Any, dataclasses.field(default=getattr(owner, name, missing))) for name in owner.__match_args__
        ]
        return getattr(dataclasses.make_dataclass(owner.__name__, fields, frozen=True), self._name)


@dataclass_transform(frozen_default=True)
class Record:
    """A base class. What its classes annotate are the values of their objects, as with ``dataclass(frozen=True)``, and the
    functions of dataclasses take these objects, too.
    """

    __match_args__: tuple[str, ...] = ()
    __dataclass_fields__ = _OfDataclasses()
    __dataclass_params__ = _OfDataclasses()

    def __init_subclass__(cls, *, frozen: bool = True) -> None:
        own = cls.__annotations__
        cls.__match_args__ = tuple(dict.fromkeys((*cls.__match_args__, *own)))  # type: ignore[misc]
        if own:
            cls.__init__ = _init(cls)  # type: ignore[method-assign]
        if not frozen:
            cls.__setattr__ = object.__setattr__  # type: ignore[method-assign, assignment]

    def __post_init__(self) -> None:
        """Checks the values."""

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __repr__(self) -> str:
        values = zip(self.__match_args__, self._values(), strict=True)
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in values)})"

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete field {name!r}")

    def __replace__(self, **changes: Any) -> Any:
        return type(self)(**dict(zip(self.__match_args__, self._values(), strict=True)) | changes)


def _init(cls: type[Record]) -> Callable[..., None]:
    """The __init__ with the class's values as its parameters."""
    names = cls.__match_args__
    parameters = ", ".join(f"{name}=cls.{name}" if hasattr(cls, name) else name for name in names)
    values = ", ".join(f"{name}={name}" for name in names)
    made: dict[str, Any] = {"cls": cls}
    source = f"def __init__(self, {parameters}):\n    self.__dict__.update({values})\n    self.__post_init__()\n"
    exec(source, vars(sys.modules[cls.__module__]), made)
    function: Callable[..., None] = made["__init__"]
    function.__qualname__, function.__annotations__ = (
        f"{cls.__qualname__}.__init__",
        {**cls.__annotations__, "return": None},
    )
    return function
