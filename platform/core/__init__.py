"""The kit without domain: jobs, queue, errors, access, storage, API helpers and page frames."""
