"""`caliche posterior`: error bars by several methods side by side."""
