"""From the ledger to call detail records."""
