"""`kthreads bench`: what threads, regions and tasks cost, side by side with every peer that is here."""
