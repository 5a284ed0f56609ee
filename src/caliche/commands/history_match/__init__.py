"""`caliche history-match`: which parameter values the observations do not rule out."""
