"""`caliche emulate-column`: a network that takes the steps of a column."""
