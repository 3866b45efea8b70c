-- Stretches of days without any order.
-- inputs: customer_days
-- output: check_results
-- grain: check_name
-- parameters: gap_days BIGINT default 7
-- severity: info
-- message: Was the shop closed, or is a file missing? The models read a gap as silence of all customers.
WITH days AS (
    SELECT DISTINCT day FROM customer_days
),
steps AS (
    SELECT day, date_diff('day', lag(day) OVER (ORDER BY day), day) - 1 AS empty_days FROM days
)
SELECT
    count(*) AS found,
    coalesce(CAST(max(empty_days) AS VARCHAR) || ' days before ' || CAST(arg_max(day, empty_days) AS VARCHAR), '')
        AS example
FROM steps
WHERE empty_days >= $gap_days
