-- Whether the last purchase lies long before the as-of date.
-- inputs: customer_days
-- output: check_results
-- grain: check_name
-- parameters: as_of DATE, stale_days BIGINT default 14
-- severity: warning
-- message: Every customer looks quiet: load newer orders, or set value.as_of to the last day they cover.
SELECT
    CAST(CASE WHEN date_diff('day', max(day), $as_of) > $stale_days THEN 1 ELSE 0 END AS BIGINT) AS found,
    CASE
        WHEN date_diff('day', max(day), $as_of) > $stale_days THEN 'last purchase on ' || CAST(max(day) AS VARCHAR)
        ELSE ''
    END AS example
FROM customer_days
