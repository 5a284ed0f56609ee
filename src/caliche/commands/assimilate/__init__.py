"""`caliche assimilate`: a record window by window."""
