"""Studies: study files, their plans, the ledger, the scheduler and tuning."""
