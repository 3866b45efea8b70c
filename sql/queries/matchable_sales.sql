-- Sales of customers who have sent something back, by product, order and day; marked_returned is what the sale's own
-- returned_at says came back by the as-of date. NULL products and orders are ''.
-- inputs: judged_order_lines, returning_customers, previous_returnable_sales
-- output: matchable_sales
-- grain: customer_id, sku, order_id, day
-- parameters: as_of DATE, refunds VARCHAR
SELECT
    customer_id,
    coalesce(sku, '') AS sku,
    coalesce(order_id, '') AS order_id,
    day,
    CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue,
    CAST(coalesce(sum(revenue_reporting) FILTER (WHERE returned_on <= $as_of AND $refunds = 'net'), 0) AS DECIMAL(18, 2))
        AS marked_returned
FROM judged_order_lines
SEMI JOIN returning_customers USING (customer_id)
WHERE is_used AND judged_order_lines.revenue > 0
GROUP BY customer_id, coalesce(sku, ''), coalesce(order_id, ''), day
UNION ALL
SELECT customer_id, sku, order_id, day, revenue, marked_returned
FROM previous_returnable_sales
SEMI JOIN returning_customers USING (customer_id)
