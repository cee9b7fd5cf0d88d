"""What varies: study files, their plan, the ledger, the scheduler and tuning."""
