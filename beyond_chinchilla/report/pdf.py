"""A page on paper: printed by a browser that is there, or by WeasyPrint; neither is required by anything else."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from beyond_chinchilla.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LIBRARY = "weasyprint"
_START = b"%PDF-"
# A page takes a second; a browser that hangs must not hang us.
_SECONDS = 60.0
_FLAGS = (
    *("--headless=new", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking"),
    *("--no-pdf-header-footer", "--hide-scrollbars"),
)


def pdf_of(page: str) -> bytes:
    """Return a self-contained HTML page as a PDF.

    Raises
    ------
    InputError
        Neither a browser nor WeasyPrint is there, or the one that is there failed.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is not None:
        return _by_browser(browser, page)
    if importlib.util.find_spec(_LIBRARY) is not None:
        return _by_library(page)
    raise InputError(
        "a PDF needs Chromium or Chrome on the PATH, or WeasyPrint (pip install weasyprint): neither is here; "
        "write report.html instead and print it"
    )


def _by_browser(browser: str, page: str) -> bytes:
    # A profile of its own: no other window's settings, and nothing left behind. Some browsers leave processes that
    # still write to it for a moment.
    try:
        with tempfile.TemporaryDirectory(prefix="bc-opt-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            source, target = folder / "page.html", folder / "page.pdf"
            source.write_text(page, encoding="utf-8")
            found = subprocess.run(  # noqa: S603 - a browser found on the PATH, and files of our own
                [browser, *_flags(folder), f"--print-to-pdf={target}", source.as_uri()],
                # Its own temporary files belong there, too; and where TMPDIR names no folder it does not start.
                env={**os.environ, "TMPDIR": name},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
            content = target.read_bytes() if target.exists() else b""
    except subprocess.TimeoutExpired:
        raise InputError(f"{browser} printed no PDF within {_SECONDS:.0f} s; write report.html instead") from None
    except OSError as error:
        raise InputError(f"{browser} printed no PDF: {error.strerror or error}; write report.html instead") from None
    if not content.startswith(_START):
        said = [line for line in found.stderr.decode(errors="replace").splitlines() if line.strip()]
        why = f": {said[-1][:200]}" if said else ""
        raise InputError(f"{browser} printed no PDF (exit {found.returncode}){why}; write report.html instead")
    return content


def _flags(folder: Path) -> Sequence[str]:
    flags = [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]
    # Chromium refuses to run for root inside its own sandbox. The page is ours and may load nothing.
    return [*flags, "--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else flags


def _by_library(page: str) -> bytes:
    try:
        content = importlib.import_module(_LIBRARY).HTML(string=page).write_pdf()
    # Without the system libraries that it wraps it cannot even be imported.
    except (ImportError, OSError) as error:
        raise InputError(f"WeasyPrint cannot be used here: {error}; write report.html instead") from None
    return bytes(content)
