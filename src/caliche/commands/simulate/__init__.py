"""`caliche simulate`: the model once, as configured."""
