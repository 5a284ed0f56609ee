"""Benchmarks of caliche against a C kernel, and against other ways of doing the same.

Run from a checkout with `python -m benchmarks`; see `python -m benchmarks --help`.
"""
