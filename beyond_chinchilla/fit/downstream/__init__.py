"""From pairs of loss and error to the map between them."""
