"""Mutants: one small wrong change of the contracts at a time, to see whether a test notices (threat 25)."""
