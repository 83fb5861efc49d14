"""A page that is served while a test asks for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from beyond_chinchilla.report.html.serve import Served, serve


@contextmanager
def served_page(page: str) -> Iterator[Served]:
    """Serve a page on a thread."""
    found = serve(page)
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join(5)
