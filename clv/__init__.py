"""Customer value and churn."""
