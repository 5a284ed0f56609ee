"""CalLMIP Phase 1: its output files written, checked and scored, whichever model they come from."""
