"""Files that a scenario names: only below its own folder, unless the person at the keyboard says otherwise.

A scenario from somebody else must not read this machine's files into its page, nor hang on a pipe that came with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from beyond_chinchilla.errors import InputError

_SHOWN = 60


@dataclass(frozen=True)
class NamedFiles:
    """Where the files that one key of a scenario names may lie.

    Attributes
    ----------
    folder : Path
        The scenario's: names are relative to it.
    allow_outside : bool
        Whether they may lie elsewhere too.
    typed : bool
        Whether the person typed the name, who may name anything of their own: a file elsewhere, a pipe.

    Examples
    --------
    >>> NamedFiles(Path("plans")).path("laws/ours.json").as_posix()
    'plans/laws/ours.json'
    """

    folder: Path
    allow_outside: bool = False
    typed: bool = False

    def path(self, name: str) -> Path:
        """Return the path of a file.

        Raises
        ------
        InputError
            It lies outside of the folder, by its name or by a link, or is a pipe or a device.
        """
        path = self.folder / name
        if self.typed:
            return path
        shown = name[:_SHOWN]
        try:
            inside = not Path(name).is_absolute() and path.resolve().is_relative_to(self.folder.resolve())
            if not inside and not self.allow_outside:
                raise InputError(
                    f"'{shown}' lies outside the scenario's folder, below which the files that it names must lie; put "
                    "the file there, or allow it: --allow-outside, or allow_outside=True in Python"
                )
            special = path.exists() and not (path.is_file() or path.is_dir())
        except InputError:
            raise
        except (OSError, ValueError, RuntimeError):
            raise InputError(f"'{shown}' is no file name; give one of a file in the scenario's folder") from None
        if special:
            raise InputError(f"'{shown}' is a pipe or a device; a scenario names plain files")
        return path
