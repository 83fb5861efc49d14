"""Bytes from disk and to it: read within bounds, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from beyond_chinchilla.errors import InputError, SpreadsheetError, printable

# An old workbook, or one behind a password.
OLE = b"\xd0\xcf\x11\xe0"
# How a draft's name ends; of the name that it will have so much that any disk takes it with what is added.
DRAFT = ".tmp"
_KEPT_OF_A_NAME = 50
# What begins a formula, also in the wide forms that East Asian spreadsheets read.
_FORMULA = re.compile("(^|[;\t\r\n])(?=[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r])")
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


def check_parquet(data: bytes, place: str, most: int) -> None:
    """Refuse a Parquet file that unpacks to more than `most` bytes: what many rows share it keeps once.

    Raises
    ------
    SpreadsheetError
        Its numbers, or its texts, are too large.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    from pyarrow import parquet

    told = parquet.ParquetFile(io.BytesIO(data))
    groups = [told.metadata.row_group(number) for number in range(told.metadata.num_row_groups)]
    size = 8 * sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    texts = [field.name for field in told.schema_arrow if field.type in (pa.string(), pa.large_string(), pa.binary())]
    for name in texts if size <= most else ():
        kept_once = parquet.ParquetFile(io.BytesIO(data), read_dictionary=[name])
        for batch in kept_once.iter_batches(columns=[name]):
            column = batch.column(0)
            coded = pa.types.is_dictionary(column.type)
            lengths = pc.binary_length(column.dictionary).take(column.indices) if coded else pc.binary_length(column)
            size += pc.sum(lengths.cast(pa.int64())).as_py() or 0
            if size > most:
                break
    if size > most:
        raise SpreadsheetError(f"{place}: unpacks to more than {most / 1e6:g} MB; keep the columns that are needed")


def damaged_workbook(place: str) -> SpreadsheetError:
    """Say that a workbook cannot be read, whatever its damaged part made of it."""
    return SpreadsheetError(f"{place}: no workbook, or a damaged one; open it, save it as .xlsx, and try again")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file by way of a draft beside it: the old file or the new one, never half.

    A link stays, and what it leads to is written; a file keeps its permissions. What is no file, such as a pipe or
    ``/dev/null``, has no draft: it is written to. A process that is killed outright (``kill -9``) may leave its draft,
    ``.NAME.XXXXXXXX.tmp``; nothing else does.

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
    try:
        data = content.encode() if isinstance(content, str) else content
        place = Path(os.path.realpath(path))
        mode = _mode_of(place)
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            place.write_bytes(data)
            return
        with _drafted(place, data) as draft:
            if mode is not None and mode != draft.stat().st_mode:
                draft.chmod(stat.S_IMODE(mode))
            draft.replace(place)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


def write_anew(path: Path, content: str) -> None:
    """Write a file that is not there yet, whole or not at all.

    Parameters
    ----------
    path : Path
    content : str
        Written in UTF-8, line ends as they are.

    Raises
    ------
    FileExistsError
        It is there already, or appeared meanwhile: a file, or a link to one. Neither is touched.
    InputError
        The place cannot be written.
    """
    try:
        with _drafted(path, content.encode()) as draft:
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                raise
            except OSError:
                # A disk without links, such as a memory card's.
                if os.path.lexists(path):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
                draft.replace(path)
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


@contextlib.contextmanager
def _drafted(place: Path, data: bytes) -> Iterator[Path]:
    """Give a finished draft of a file, beside it; what has not taken the file's name is removed."""
    # Named before it is made: whatever comes in between, it is known what to remove.
    draft = place.with_name(f".{place.name[:_KEPT_OF_A_NAME]}.{os.urandom(4).hex()}{DRAFT}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            # Some disks say only now that they are full; and a name must not be safe before what it names.
            os.fsync(file.fileno())
        yield draft
    finally:
        try:
            _remove(draft)
        except KeyboardInterrupt:
            # It came just now.
            _remove(draft)
            raise


def _remove(draft: Path) -> None:
    # On a disk that is read-only even this is refused.
    with contextlib.suppress(OSError, ValueError):
        draft.unlink(missing_ok=True)


def _mode_of(place: Path) -> int | None:
    """Return kind and permissions of what is there; None where nothing is.

    Raises
    ------
    PermissionError
        It is there, and protected: a draft could take its place all the same, which is not what its owner wants.
    """
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return None
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return mode


def harmless_cell(text: str) -> str:
    """Return text for a cell of a CSV that no spreadsheet runs as a formula, wherever it splits a line.

    Semicolons and tabs split lines, too, where the comma is the decimal mark: quotes within a line are no help then.

    >>> harmless_cell("=1+1"), harmless_cell("a;@b"), harmless_cell("a; -5%")
    ("'=1+1", "a;'@b", 'a; -5%')
    """
    return _FORMULA.sub(r"\1'", text)


def unwritable(place: object, error: OSError | ValueError) -> InputError:
    """Say where a result could not go, and why."""
    return InputError(f"{place}: cannot be written: {getattr(error, 'strerror', None) or error}")
