-- Customers who seem to be new only because the data begin: the first days show more than their share of first
-- purchases.
-- inputs: customer_summary
-- output: check_results
-- grain: check_name
-- parameters: censoring_days BIGINT default 28, censoring_ratio DOUBLE default 2
-- severity: warning
-- message: First seen is not acquired. Take the history further back, or read the age T and the first cohorts with
-- care.
WITH span AS (
    SELECT min(first_order_on) AS first_day, max(first_order_on) AS last_day FROM customer_summary
),
acquired AS (
    SELECT
        count(*) FILTER (WHERE date_diff('day', span.first_day, first_order_on) < $censoring_days) AS early,
        count(*) FILTER (WHERE date_diff('day', span.first_day, first_order_on) >= $censoring_days) AS late,
        max(date_diff('day', span.first_day, span.last_day) + 1 - $censoring_days) AS late_days
    FROM customer_summary
    CROSS JOIN span
)
SELECT
    CAST(coalesce(max(early), 0) AS BIGINT) AS found,
    coalesce(
        max(
            CAST(early AS VARCHAR) || ' first seen in ' || CAST($censoring_days AS VARCHAR) || ' days, then '
                || CAST(late AS VARCHAR) || ' in ' || CAST(late_days AS VARCHAR)
        ),
        ''
    ) AS example
FROM acquired
WHERE late > 0 AND early * late_days > $censoring_ratio * late * $censoring_days
