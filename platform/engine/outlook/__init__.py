"""What a run of each recipe would be like, before it is queued: one file per recipe, its figures as plain JSON."""
