"""Reports of a run: while it runs, at its end, and in the files that it leaves."""
