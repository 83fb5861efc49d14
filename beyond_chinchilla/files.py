"""Bytes from disk and to it: read within bounds, written whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from beyond_chinchilla.errors import InputError, SpreadsheetError, printable

# An old workbook, or one behind a password.
OLE = b"\xd0\xcf\x11\xe0"
_BINARY = (b"PAR1", b"PK\x03\x04", b"\x1f\x8b", OLE)


def read_bytes(path: Path, most: int, what: str = "the file") -> bytes:
    """Read a file, and one byte more than `most` at the most: whoever asks says what is too large.

    Parameters
    ----------
    path : Path
    most : int
        Bytes that are welcome.
    what : str
        What should have been named instead of a folder.

    Raises
    ------
    InputError
        No such file, a folder, or one that cannot be read.
    """
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{shown}: a folder, not a file; name {what} in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{shown}: cannot be read: {printable(reason)}") from None


def unpack(data: bytes, place: str, most: int) -> bytes:
    """Unpack gzip, to one byte more than `most` at the most.

    Raises
    ------
    SpreadsheetError
        No gzip, or a damaged one.
    """
    import gzip  # only for who has a packed file
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return file.read(most + 1)
    except (OSError, EOFError, zlib.error):
        raise SpreadsheetError(f"{place}: no gzip file, or a damaged one; unpack it and name the text itself") from None


def decode(data: bytes, place: str, kinds: Sequence[str]) -> str:
    """Return bytes as text with plain line ends: UTF-8, UTF-16 with its mark, or else Latin-1.

    Raises
    ------
    SpreadsheetError
        Binary; `kinds` are the extensions by which it may be named.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if data.startswith(_BINARY) or "\0" in text:
        raise SpreadsheetError(f"{place}: binary, not text; name it by what it is, one of {', '.join(kinds)}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_workbook(data: bytes, place: str, most: int) -> None:
    """Refuse bytes that are no .xlsx, or one that unpacks to more than `most` bytes.

    Raises
    ------
    SpreadsheetError
        Protected, old, damaged, or too large.
    """
    import zipfile  # only for who has a workbook

    if data.startswith(OLE):
        raise SpreadsheetError(f"{place}: protected by a password, or an old .xls; save it as .xlsx without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except Exception:
        raise damaged_workbook(place) from None
    if size > most:
        raise SpreadsheetError(f"{place}: unpacks to more than {most / 1e6:g} MB; save the sheet as .csv")


def damaged_workbook(place: str) -> SpreadsheetError:
    """Say that a workbook cannot be read, whatever its damaged part made of it."""
    return SpreadsheetError(f"{place}: no workbook, or a damaged one; open it, save it as .xlsx, and try again")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file by way of a temporary one beside it: the old file or the new one, never half.

    Parameters
    ----------
    path : Path
    content : str or bytes
        Text is written in UTF-8, line ends as they are.

    Raises
    ------
    InputError
        The place cannot be written.
    """
    import tempfile  # 8 ms with what it imports: not for a page on the terminal

    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        # mkstemp makes private files; a result gets the permissions of any new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def unwritable(place: object, error: OSError | ValueError) -> InputError:
    """Say where a result could not go, and why."""
    return InputError(f"{place}: cannot be written: {getattr(error, 'strerror', None) or error}")
