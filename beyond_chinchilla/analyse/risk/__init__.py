"""A plan among many worlds: what uncertainty makes of it, and which size holds up."""
