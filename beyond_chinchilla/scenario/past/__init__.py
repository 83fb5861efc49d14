"""What a scenario says of laws past Chinchilla: a module for each."""
