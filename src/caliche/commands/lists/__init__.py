"""`caliche experiments` and `caliche data`: what there is."""
