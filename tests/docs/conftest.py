"""The modules that print parts of the documents lie beside them, and are no part of the package."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# At the end: the package that is tested is the installed one.
sys.path += [str(ROOT), str(ROOT / "docs")]
