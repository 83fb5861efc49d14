"""``python -m beyond_chinchilla`` is ``bc-opt``."""

from beyond_chinchilla.cli.main import main

main()
