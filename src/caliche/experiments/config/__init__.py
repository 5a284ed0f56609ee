"""The configuration of an experiment: one file a table, read from TOML."""
