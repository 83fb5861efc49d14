"""``bc-opt``: thin commands over the library."""
