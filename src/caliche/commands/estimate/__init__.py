"""`caliche estimate`: a calibration with error bars and a report."""
