"""Outside systems: deployers, alarm sources, tests and pagers; each loads when it is named."""
