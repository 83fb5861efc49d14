"""The report as one self-contained page, with the plan to be played with on it."""
