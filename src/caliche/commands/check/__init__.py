"""`caliche check`: what would stop a calibration, looked at beforehand."""
