"""Millions of scenarios: what varies, blocks of rows, files that are whole or not there, and what to read from them."""
