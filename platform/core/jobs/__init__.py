"""Long work as rows: one state machine, leases with fencing tokens, progress, attempts and logs."""
