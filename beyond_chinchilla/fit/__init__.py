"""From training runs to a law, and how sure it is."""
