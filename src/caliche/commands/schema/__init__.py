"""`caliche schema`: the keys of a file, for editors."""
