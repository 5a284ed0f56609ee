"""The page of a run: words, plates and tables from its folder alone."""
