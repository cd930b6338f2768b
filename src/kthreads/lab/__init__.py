"""The laboratory: what each flag of clone(2) does, shown by experiments that run when they are called."""

from kthreads.lab import identity, libraries, memory, namespaces, sharing  # noqa: F401 (each module registers its experiments)
from kthreads.lab.experiment import EXPERIMENTS, Experiment, Missing, Outcome, Row, Variant

__all__ = ["EXPERIMENTS", "Experiment", "Missing", "Outcome", "Row", "Variant"]
