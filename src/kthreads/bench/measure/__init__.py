"""Takes the samples: the operations of each peer, the processes that measure, and the machine they run on. Uses `model`."""
