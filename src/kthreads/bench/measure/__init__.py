"""Runs the suites: what is measured, beside which peers, in which process."""
