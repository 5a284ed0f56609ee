"""What commands share on the terminal: exit codes, options, progress, tables."""
