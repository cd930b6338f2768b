"""From samples to statements: quantiles, comparisons, what stands out. Knows nothing of how samples were taken."""
