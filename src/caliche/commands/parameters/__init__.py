"""`caliche parameters`: what models declare."""
