"""`caliche sites`: every site of a collection."""
