-- Lens 2 of the audit: what changed from the period before to the latest. Customers by their tenth of net revenue in
-- either (1 the best, 0 did not buy), those acquired in the latest apart. Without two whole periods there is no row.
-- inputs: audit_periods, customer_days, customer_summary
-- output: audit_two_periods
-- grain: decile_before, decile_after, is_new
-- parameters:
WITH windows AS (
    SELECT
        max(CASE WHEN period = 1 THEN starts_on END) AS before_from,
        max(CASE WHEN period = 0 THEN starts_on END) AS after_from,
        max(CASE WHEN period = 0 THEN ends_on END) AS after_to
    FROM audit_periods
    WHERE is_complete
    HAVING count(CASE WHEN period = 1 THEN 1 END) = 1
),
spent AS (
    SELECT
        customer_days.customer_id,
        coalesce(sum(revenue - returned_revenue) FILTER (WHERE day < after_from), 0) AS revenue_before,
        coalesce(sum(revenue - returned_revenue) FILTER (WHERE day >= after_from), 0) AS revenue_after,
        coalesce(sum(orders) FILTER (WHERE day < after_from), 0) AS orders_before,
        coalesce(sum(orders) FILTER (WHERE day >= after_from), 0) AS orders_after
    FROM customer_days
    CROSS JOIN windows
    WHERE day BETWEEN before_from AND after_to
    GROUP BY customer_days.customer_id
),
ranked AS (
    SELECT
        spent.*,
        CASE WHEN orders_before > 0 THEN ntile(10) OVER (
            PARTITION BY orders_before > 0 ORDER BY revenue_before DESC, spent.customer_id
        ) ELSE 0 END AS decile_before,
        CASE WHEN orders_after > 0 THEN ntile(10) OVER (
            PARTITION BY orders_after > 0 ORDER BY revenue_after DESC, spent.customer_id
        ) ELSE 0 END AS decile_after,
        customer_summary.first_order_on >= windows.after_from AS is_new
    FROM spent
    JOIN customer_summary ON spent.customer_id = customer_summary.customer_id
    CROSS JOIN windows
)
SELECT
    CAST(decile_before AS BIGINT) AS decile_before,
    CAST(decile_after AS BIGINT) AS decile_after,
    is_new,
    count(*) AS customers,
    CAST(sum(orders_before) AS BIGINT) AS orders_before,
    CAST(sum(orders_after) AS BIGINT) AS orders_after,
    CAST(sum(revenue_before) AS DECIMAL(18, 2)) AS revenue_before,
    CAST(sum(revenue_after) AS DECIMAL(18, 2)) AS revenue_after
FROM ranked
GROUP BY decile_before, decile_after, is_new
