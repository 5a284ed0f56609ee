"""`caliche callmip`: an entry to CalLMIP Phase 1b, from the flux files to files that pass."""
