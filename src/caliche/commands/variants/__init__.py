"""`caliche variants`: how much estimates depend on what nobody estimated."""
