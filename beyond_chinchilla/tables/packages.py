"""Workbook files before anything parses them: what they are, what they unpack to, and which sheet is which part.

A file of some kilobytes may unpack to gigabytes, or hold a single cell in its last row and column. Parsers allocate
for all of it, so that sizes are checked here: those that the archive declares, those of the parts as they unpack
(`zipfile` refuses a part that is longer than declared, or whose checksum is wrong), and those that a sheet spans.
"""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

from beyond_chinchilla.errors import SpreadsheetError

# A sheet of 100,000 rows and 30 columns unpacks to about 100 MB.
MAX_UNPACKED = 400_000_000
MAX_RATIO = 200
# What unpacks to less than this may be as repetitive as it likes.
HARMLESS = 20_000_000
MAX_PARTS = 5_000
MAX_DIRECTORY = 5_000_000

ZIPPED = (".xlsx", ".xlsm", ".xlsb", ".ods")
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = tuple(name.encode("utf-16-le") for name in ("EncryptedPackage", "EncryptionInfo"))
_PICTURES = re.compile(r"(?:^|/)(?:media|pictures|thumbnails)/", re.IGNORECASE)
# What each kind holds, so that a Word file or a renamed archive is told.
_NEEDED = {
    ".xlsx": "xl/workbook.xml",
    ".xlsm": "xl/workbook.xml",
    ".xlsb": "xl/workbook.bin",
    ".ods": "content.xml",
}


def check_kind(data: bytes, kind: str, place: str) -> None:
    """Refuse a file that is not what its extension says.

    Raises
    ------
    SpreadsheetError
        Empty, protected by a password, another kind of workbook, or none.
    """
    if not data:
        raise SpreadsheetError(f"{place}: the file is empty; it needs a header and at least one row")
    if data.startswith(_OLE):
        if any(name in data for name in _ENCRYPTED):
            raise SpreadsheetError(f"{place}: protected by a password; open it, save it without one, and try again")
        if kind != ".xls":
            raise SpreadsheetError(f"{place}: an old .xls that is called {kind}; rename it to .xls")
        return
    if data.startswith(_ZIP):
        if kind == ".xls":
            raise SpreadsheetError(f"{place}: no old .xls but a zip archive; if it is a workbook, rename it to .xlsx")
        return
    told = "text" if data[:1024].lstrip()[:1] in (b"<", b"{") or b"\0" not in data[:1024] else "something else"
    raise SpreadsheetError(
        f"{place}: called {kind}, but it is {told}, or damaged; open it in Excel or LibreOffice and save it as .xlsx"
    )


def open_package(data: bytes, kind: str, place: str) -> zipfile.ZipFile:
    """Return the archive of a workbook, every part of which unpacks to what is declared.

    Raises
    ------
    SpreadsheetError
        Damaged, encrypted, no workbook of that kind, or too large once unpacked.
    """
    broken = SpreadsheetError(
        f"{place}: a damaged or truncated {kind}; open it in Excel or LibreOffice, save it again, and try again"
    )
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception:  # whatever a damaged directory makes of it
        raise broken from None
    parts = archive.infolist()
    if any(part.flag_bits & 1 for part in parts):
        raise SpreadsheetError(f"{place}: protected by a password; open it, save it without one, and try again")
    names = {part.filename for part in parts}
    if _NEEDED[kind] not in names:
        raise SpreadsheetError(f"{place}: a zip archive, but no {kind} workbook; save the workbook as {kind} again")
    if len(names) < len(parts) or len(parts) > MAX_PARTS:
        raise broken
    # Pictures are never unpacked: whether they are large is their own affair.
    read = [part for part in parts if not _PICTURES.search(part.filename)]
    unpacked = sum(part.file_size for part in read)
    packed = sum(part.compress_size for part in read)
    if unpacked > MAX_UNPACKED or (unpacked > HARMLESS and unpacked > MAX_RATIO * max(packed, 1)):
        raise SpreadsheetError(
            f"{place}: unpacks from {packed / 1e6:.3g} MB to {unpacked / 1e6:,.0f} MB; no workbook that we read does "
            f"(at most {MAX_UNPACKED / 1e6:g} MB and {MAX_RATIO}-fold); save the sheet alone as .csv"
        )
    try:
        for part in read:
            with archive.open(part) as file:
                while file.read(1 << 20):
                    pass
    except Exception:  # a wrong checksum, a length that is a lie, a method that nobody uses
        raise broken from None
    if b"<manifest:encryption-data" in _manifest(archive):
        raise SpreadsheetError(f"{place}: protected by a password; open it, save it without one, and try again")
    return archive


def _manifest(archive: zipfile.ZipFile) -> bytes:
    name = "META-INF/manifest.xml"
    return archive.read(name) if name in archive.namelist() else b""


def sheet_parts(archive: zipfile.ZipFile, kind: str) -> dict[str, str]:
    """Return the part of each sheet of an .xlsx, .xlsm or .xlsb, by the sheet's name."""
    book = _NEEDED[kind]
    relations = book.replace("xl/", "xl/_rels/") + ".rels"
    targets = {row.get("Id", ""): row.get("Target", "") for row in _elements(archive, relations, "Relationship")}
    names = set(archive.namelist())
    found = {}
    for name, key in _sheet_keys(archive, book):
        target = targets.get(key, "")
        path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"xl/{target}")
        if path in names:
            found[name] = path
    return found


def _sheet_keys(archive: zipfile.ZipFile, book: str) -> Iterator[tuple[str, str]]:
    """Yield each sheet's name and the key of its part."""
    if book.endswith(".bin"):
        for kind, at, data in records(archive.read(book)):
            if kind == _BUNDLE_SHEET:
                key, at = _wide_text(data, at + 8)
                yield _wide_text(data, at)[0], key
        return
    for sheet in _elements(archive, book, "sheet"):
        yield sheet.get("name", ""), next((value for name, value in sheet.items() if name.endswith("}id")), "")


# BrtBundleSh of [MS-XLSB] 2.4.311: state, tab and the texts of relation and name.
_BUNDLE_SHEET = 156


def records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind and start of each record of a binary part ([MS-XLSB] 2.1.4), and the part itself."""
    at, size = 0, len(data)
    while at < size:
        kind = data[at]
        at += 1
        if kind & 0x80 and at < size:
            kind = (kind & 0x7F) | (data[at] & 0x7F) << 7
            at += 1
        length = shift = 0
        while at < size and shift < 28:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        if at + length > size:
            return
        yield kind, at, data
        at += length


def _wide_text(data: bytes, at: int) -> tuple[str, int]:
    """Return an XLWideString and where it ends."""
    (length,) = struct.unpack_from("<I", data, at) if at + 4 <= len(data) else (0,)
    end = min(at + 4 + 2 * length, len(data))
    return data[at + 4 : end].decode("utf-16-le", errors="replace"), end


def defined_names(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the names of an .xlsx and what they stand for: ``{"in_requests": "Inputs!$C$20"}``."""
    return {
        element.get("name", ""): (element.text or "").strip()
        for element in _elements(archive, "xl/workbook.xml", "definedName")
    }


def _elements(archive: zipfile.ZipFile, part: str, name: str) -> list[ElementTree.Element]:
    """Return the elements of a name in a small part; none where it is missing, too large or no XML."""
    try:
        if archive.getinfo(part).file_size > MAX_DIRECTORY:
            return []
        # Entities are not expanded beyond what expat allows; the part is bounded.
        root = ElementTree.fromstring(archive.read(part))  # noqa: S314
    except (KeyError, ElementTree.ParseError):
        return []
    return [element for element in root.iter() if element.tag.rsplit("}", 1)[-1] == name]
