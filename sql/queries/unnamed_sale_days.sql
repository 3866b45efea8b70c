-- The rows of sale_days in one step, where no line names its order: then each customer day is one order.
-- inputs: judged_order_lines
-- output: unnamed_sale_days
-- grain: customer_id, day
-- parameters:
SELECT
    customer_id,
    day,
    CAST(1 AS BIGINT) AS orders,
    count(*) AS lines,
    CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(discount_reporting) AS DECIMAL(18, 2)) AS discount
FROM judged_order_lines
WHERE is_used AND judged_order_lines.revenue >= 0
GROUP BY customer_id, day
