"""`kthreads bench`: what threads, regions and tasks cost, and how long whole jobs take, side by side with every peer that is
installed.

Five folders, each of which may use those before it: `model` has what is measured and the data of a run, `jobs` does the whole
jobs, `measure` takes the samples and `analysis` makes statements of them (neither uses the other), `output` shows both.
"""
