"""Problems under laws past Chinchilla: solved as rows of ordinary ones, and completed."""
