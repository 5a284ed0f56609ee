"""Models that are executables: their configuration, their runs, and what they leave."""
