"""What a page says of laws past Chinchilla: a module for each."""
