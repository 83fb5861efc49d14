"""What one sees of a plan: every format reads the same rows."""
