"""Files of JSON that name their format and version."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any


class FormatError(ValueError):
    """A file is no result of `kthreads bench`, or one of another version."""


def write(path: Path, text: str) -> None:
    """Writes a text, compressed when the name ends in .gz."""
    data = text.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def read(path: Path, format: str, version: int) -> dict[str, Any]:
    """The content of a file, less its format and version.

    Raises:
        FormatError: the file is not JSON, or of another format or version.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        content = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (ValueError, OSError) as error:
        raise FormatError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) or content.pop("format", None) != format:
        raise FormatError(f"{path} is no result of {format}")
    found = content.pop("version", None)
    if found != version:
        raise FormatError(f"{path} is of format {found}, this is kthreads bench for format {version}")
    return content
