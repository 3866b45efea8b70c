-- Counts of distinct (frequency, recency, T): all that a plain BTYD fit needs.
-- inputs: customer_summary
-- output: summary_counts
-- grain: frequency, recency_days, T_days
-- parameters: days_per_unit DOUBLE
SELECT
    frequency,
    recency_days / nullif($days_per_unit, 0) AS recency,
    T_days / nullif($days_per_unit, 0) AS T,
    recency_days,
    T_days,
    count(*) AS weight
FROM customer_summary
GROUP BY frequency, recency_days, T_days
