"""`caliche report`: the page of a folder again."""
