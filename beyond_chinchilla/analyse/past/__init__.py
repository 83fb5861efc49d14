"""What else is asked where a law past Chinchilla holds: what it costs, and from where on it pays."""
