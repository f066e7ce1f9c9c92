"""Pages that join domains: home, jobs, lineage and the demo; no tables."""
