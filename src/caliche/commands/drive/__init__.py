"""`caliche drive`: a model that is an executable."""
