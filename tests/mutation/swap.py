"""Give live functions the code of a changed module, so that nothing need be imported again."""

from __future__ import annotations

import functools
import gc
from collections import defaultdict
from types import CodeType, FunctionType

_FUNCTION = 0x1
"""CO_OPTIMIZED: set in code of functions, not in that of modules and classes."""

Key = tuple[str, str, int]


class Live:
    """The functions of a package that exist in this process.

    Parameters
    ----------
    folder : str
        Of the package.
    """

    def __init__(self, folder: str) -> None:
        self._functions: dict[Key, list[FunctionType]] = defaultdict(list)
        self._caches = []
        for found in gc.get_objects():
            if isinstance(found, FunctionType) and found.__code__.co_filename.startswith(folder):
                self._functions[_key(found.__code__)].append(found)
            elif isinstance(found, functools._lru_cache_wrapper):
                self._caches.append(found)

    def swap(self, path: str, before: str, after: str) -> bool:
        """Put the functions of `after` in the place of those of `before`; return whether that was the whole change.

        What differs outside of functions (constants, defaults, bodies of classes) was computed at import, and stays.
        """
        pairs: list[tuple[CodeType, CodeType]] = []
        if not _pair(compile(before, path, "exec"), compile(after, path, "exec"), pairs) or not pairs:
            return False
        if any(_key(old) not in self._functions or old.co_freevars != new.co_freevars for old, new in pairs):
            return False
        for old, new in pairs:
            for function in self._functions[_key(old)]:
                function.__code__ = new
        for kept in self._caches:
            kept.cache_clear()
        return True


def _key(code: CodeType) -> Key:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _pair(old: CodeType, new: CodeType, pairs: list[tuple[CodeType, CodeType]]) -> bool:
    """Add the functions that differ; return whether nothing outside of them does."""
    if old.co_code != new.co_code or old.co_names != new.co_names or len(old.co_consts) != len(new.co_consts):
        return False
    for before, after in zip(old.co_consts, new.co_consts, strict=True):
        if not isinstance(before, CodeType) or not isinstance(after, CodeType):
            if type(before) is not type(after) or before != after:
                return False
        elif not before.co_flags & _FUNCTION:
            if not _pair(before, after, pairs):
                return False
        elif before != after:
            pairs.append((before, after))
    return True
