"""The program with a fault built in: ``python child.py FAULT ARGUMENTS...``, or ``python child.py FAULT -c CODE ...``.

FAULT is ``none``; ``byte:N``, whereby the kernel kills the process at the byte N of whatever file it writes;
``full:N``, whereby every file is full at N bytes; or ``step:N:SIGNAL``, whereby the signal comes before the Nth time
that a file is opened for writing, renamed, linked or removed.
"""

import os
import resource
import signal
import sys

_CHANGES = {"os.rename", "os.remove", "os.link", "os.chmod", "os.mkdir", "os.rmdir"}
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _at_step(number: int, which: signal.Signals) -> None:
    state = {"left": number}

    def hook(event: str, args: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes and args[0] != os.devnull) or event in _CHANGES:
            state["left"] -= 1
            if state["left"] == 0:
                signal.raise_signal(which)

    sys.addaudithook(hook)


def main() -> None:
    """Build the fault in, and run."""
    fault = sys.argv.pop(1)
    # A shell that runs tests in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = None
    if sys.argv[1] == "-c":
        code = sys.argv[2]
        del sys.argv[1:3]
    else:
        from beyond_chinchilla.__main__ import main as run
    kind, *numbers = fault.split(":")
    if kind == "byte":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        _limit(int(numbers[0]))
    elif kind == "full":
        _limit(int(numbers[0]))
    elif kind == "step":
        _at_step(int(numbers[0]), signal.Signals[numbers[1]])
    # Whoever started this holds signals back until the interpreter has started: what it does before that is not ours.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if code is None:
        run()
    else:
        exec(code)


if __name__ == "__main__":
    main()
