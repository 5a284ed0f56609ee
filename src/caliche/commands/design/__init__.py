"""`caliche design`: which depths and sensors would tell most."""
