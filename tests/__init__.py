"""Tests: `unit/` mirrors the trees, `runs/` holds whole runs, `cluster/` those on clusters, `support/` serves all."""
