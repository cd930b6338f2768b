"""What is measured, and the data of a run: suites, peers, scenarios, blocks of samples. Uses nothing else of the package."""
