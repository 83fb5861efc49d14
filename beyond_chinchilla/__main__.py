"""``python -m beyond_chinchilla`` is ``bc-opt``."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line, from the first moment on without a traceback at Ctrl-C."""
    # While nothing is under way a signal may end the process where it stands; `cli.interrupts` takes over.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from beyond_chinchilla.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
