-- Whether all purchases lie on one day.
-- inputs: customer_days
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: No model can be fitted to one day: check orders.columns.ordered_at.
SELECT
    CAST(CASE WHEN count(DISTINCT day) = 1 THEN 1 ELSE 0 END AS BIGINT) AS found,
    CASE WHEN count(DISTINCT day) = 1 THEN CAST(min(day) AS VARCHAR) ELSE '' END AS example
FROM customer_days
