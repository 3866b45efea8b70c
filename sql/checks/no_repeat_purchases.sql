-- Whether nobody bought on a second day.
-- inputs: customer_summary
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: Without a repeat purchase no model of repeat buying can be fitted; wait for more history, or check that
-- customer_id is the customer and not the order.
SELECT
    CAST(CASE WHEN coalesce(max(frequency), 1) = 0 THEN count(*) ELSE 0 END AS BIGINT) AS found,
    CASE WHEN max(frequency) = 0 THEN CAST(count(*) AS VARCHAR) || ' customers with one purchase day' ELSE '' END
        AS example
FROM customer_summary
