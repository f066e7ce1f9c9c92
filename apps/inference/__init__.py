"""Model versions at work: batch prediction now, deployments and online serving next."""
