"""`caliche init`: an experiment file to fill in."""
