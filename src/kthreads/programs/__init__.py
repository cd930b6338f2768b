"""Other programs, whose threads are made by the engine: what can be run so, and what their threads did."""
