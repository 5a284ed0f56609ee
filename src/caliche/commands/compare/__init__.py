"""`caliche compare`: one problem by several methods and seeds."""
