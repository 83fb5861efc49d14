"""Results on disk: whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from beyond_chinchilla.errors import InputError


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
