"""`caliche score`: every score of a run."""
