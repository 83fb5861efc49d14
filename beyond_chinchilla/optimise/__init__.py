"""Problem in, certified plan out."""
