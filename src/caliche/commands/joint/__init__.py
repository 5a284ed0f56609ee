"""`caliche joint`: several sites calibrated together."""
