-- Counts of distinct (frequency, recency, T) of the calibration with the purchase days of the observation window.
-- inputs: holdout_summary
-- output: holdout_counts
-- grain: frequency, recency_days, T_days, frequency_holdout
-- parameters: days_per_unit DOUBLE
SELECT
    frequency,
    recency_days / nullif($days_per_unit, 0) AS recency,
    T_days / nullif($days_per_unit, 0) AS T,
    recency_days,
    T_days,
    frequency_holdout,
    count(*) AS weight
FROM holdout_summary
GROUP BY frequency, recency_days, T_days, frequency_holdout
