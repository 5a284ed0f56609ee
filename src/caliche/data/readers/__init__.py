"""One reader for each format of files that towers come in."""
