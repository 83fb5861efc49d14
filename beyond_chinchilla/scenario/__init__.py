"""A YAML file in, a problem out."""
