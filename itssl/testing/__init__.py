"""For users' own tests: hypothesis strategies. The only importer of hypothesis."""
