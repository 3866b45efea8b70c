-- All sales by product, order and day with what of them came back: what later refunds are matched to, so that new
-- days need no history. Made only where the orders hold any return.
-- inputs: judged_order_lines, previous_returnable_sales, return_matches
-- output: returnable_sales
-- grain: customer_id, sku, order_id, day
-- parameters: as_of DATE, refunds VARCHAR
WITH sales AS (
    SELECT
        customer_id,
        coalesce(sku, '') AS sku,
        coalesce(order_id, '') AS order_id,
        day,
        CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue,
        CAST(
            coalesce(sum(revenue_reporting) FILTER (WHERE returned_on <= $as_of AND $refunds = 'net'), 0)
            AS DECIMAL(18, 2)
        ) AS marked_returned
    FROM judged_order_lines
    WHERE is_used AND judged_order_lines.revenue > 0
    GROUP BY customer_id, coalesce(sku, ''), coalesce(order_id, ''), day
    UNION ALL
    SELECT customer_id, sku, order_id, day, revenue, marked_returned
    FROM previous_returnable_sales
),
came_back AS (
    SELECT customer_id, sku, order_id, day, settled
    FROM return_matches
    WHERE NOT is_refund
)
SELECT
    sales.customer_id,
    sales.sku,
    sales.order_id,
    sales.day,
    sales.revenue,
    sales.marked_returned,
    coalesce(came_back.settled, CAST(0 AS DECIMAL(18, 2))) AS returned_revenue
FROM sales
LEFT JOIN came_back
    ON sales.customer_id = came_back.customer_id
    AND sales.sku = came_back.sku
    AND sales.order_id = came_back.order_id
    AND sales.day = came_back.day
