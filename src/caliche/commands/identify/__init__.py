"""`caliche identify`: which parameters the observations can identify."""
