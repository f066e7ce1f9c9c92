"""Any model version on any dataset version, with intervals and paired comparison."""
