"""Deliberate faults in planning and delivery, and whether the tests notice: `python -m tests.mutants`."""
