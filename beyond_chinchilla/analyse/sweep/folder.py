"""A folder of parts, on a disk or in an object store: a part appears whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beyond_chinchilla.errors import InputError, printable
from beyond_chinchilla.files import DRAFT, unwritable, write_whole

# How libraries of object stores and pyarrow report what went wrong.
_FAULTS = (OSError, ValueError)


def is_url(place: str) -> bool:
    """Say whether a place is in an object store, ``s3://bucket/sweep.parquet``, rather than on this machine."""
    return "://" in place


@dataclass(frozen=True)
class Folder:
    """A folder by path or URL.

    Parameters
    ----------
    place : str
        ``sweep.parquet``, ``s3://bucket/sweep.parquet``, ``memory://sweep.parquet``: whatever fsspec knows.
    """

    place: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return printable(self.place)

    @property
    def is_remote(self) -> bool:
        """Whether it is a URL."""
        return is_url(self.place)

    def _remote(self) -> tuple[Any, str]:
        """Return the file system of a URL, and the path in it."""
        try:
            import fsspec  # type: ignore[import-untyped]  # with Dask, or by itself: only for who names a URL
        except ImportError:
            raise InputError(f"{self.name}: a URL needs fsspec; pip install fsspec, and s3fs for s3://") from None
        try:
            system, path = fsspec.core.url_to_fs(self.place)
        except (ImportError, *_FAULTS) as error:
            raise InputError(f"{self.name}: {printable(str(error)).strip()[:200]}") from None
        return system, path

    def check(self) -> None:
        """Refuse a URL that nothing here can read."""
        if self.is_remote:
            self._remote()

    def names(self) -> list[str]:
        """Return the names of its finished files; none where there is no such folder."""
        return [name for name in self._all() if not name.startswith(".")]

    def _all(self) -> list[str]:
        if self.is_remote:
            system, path = self._remote()
            try:
                found = system.ls(path, detail=False)
            except FileNotFoundError:
                return []
            except _FAULTS as error:
                raise InputError(f"{self.name}: cannot be read: {printable(str(error))[:200]}") from None
            return sorted(str(each).rstrip("/").rsplit("/", 1)[-1] for each in found)
        try:
            return sorted(path.name for path in Path(self.place).iterdir())
        except FileNotFoundError:
            return []
        except _FAULTS as error:
            raise InputError(f"{self.name}: {getattr(error, 'strerror', None) or error}; take another name") from None

    def sweep_up(self) -> None:
        """Remove what was never finished."""
        for name in self._all():
            if name.startswith(".") and name.endswith(DRAFT):
                self.remove(name)

    def create(self) -> None:
        """Make the folder, if there is none."""
        try:
            if self.is_remote:
                system, path = self._remote()
                system.makedirs(path, exist_ok=True)
            else:
                Path(self.place).mkdir(exist_ok=True)
        except _FAULTS as error:
            raise unwritable(self.name, error) from None

    def read(self, name: str) -> bytes:
        """Return a file.

        Raises
        ------
        OSError
            There is none.
        """
        if self.is_remote:
            system, path = self._remote()
            found: bytes = system.cat_file(f"{path}/{name}")
            return found
        return Path(self.place, name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, whole or not at all; raises InputError where it cannot be written."""
        if not self.is_remote:
            write_whole(Path(self.place, name), content)
            return
        with self.writing(name) as sink:
            sink.write(content)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """Give a path or file to write to, which takes its name when it is finished.

        Raises
        ------
        InputError
            The place cannot be written, such as a disk that is full.
        """
        # Two workers may have been handed the same part: neither writes into the other's.
        draft = f".{name}.{secrets.token_hex(4)}{DRAFT}"
        try:
            if self.is_remote:
                system, path = self._remote()
                with system.open(f"{path}/{draft}", "wb") as sink:
                    yield sink
                system.mv(f"{path}/{draft}", f"{path}/{name}")
            else:
                yield str(Path(self.place, draft))
                Path(self.place, draft).replace(Path(self.place, name))
        except _FAULTS as error:
            if isinstance(error, InputError):
                raise
            raise unwritable(f"{self.name}/{name}", error) from None
        finally:
            with contextlib.suppress(Exception):
                self.remove(draft)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.is_remote:
            system, path = self._remote()
            if system.exists(f"{path}/{name}"):
                system.rm_file(f"{path}/{name}")
        else:
            Path(self.place, name).unlink(missing_ok=True)

    def source(self, name: str) -> Any:
        """Return what pyarrow reads a file from: its path, or an open file of a store."""
        if not self.is_remote:
            return str(Path(self.place, name))
        system, path = self._remote()
        return system.open(f"{path}/{name}", "rb")

    def free(self) -> int | None:
        """Return the bytes that are left on its disk; None where nobody knows."""
        if self.is_remote:
            return None
        place = Path(self.place).absolute()
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free
