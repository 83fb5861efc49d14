"""Many plans out of one scenario."""
