"""`kthreads bench`: what threads, regions and tasks cost, side by side with every peer that is installed.

Four folders, each of which may use those before it: `model` has what is measured and the data of a run, `measure` takes the
samples and `analysis` makes statements of them (neither uses the other), `output` shows both.
"""
