"""`caliche screen`: which parameters matter."""
