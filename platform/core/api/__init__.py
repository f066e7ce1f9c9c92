"""What every REST endpoint shares: errors, paging, permissions, throttling, idempotency, ETags, schema."""
