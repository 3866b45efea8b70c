-- Sales that a refund could be matched to, by product, order and day: those of a product or an order that their
-- customer has a refund of. Sales that are marked as returned are with them; marked_returned is what their own
-- returned_at says came back by the as-of date. NULL products and orders are ''.
-- inputs: judged_order_lines, refund_lines, returning_customers, previous_returnable_sales
-- output: matchable_sales
-- grain: customer_id, sku, order_id, day
-- parameters: as_of DATE, refunds VARCHAR
WITH returned_products AS (
    SELECT DISTINCT customer_id, coalesce(sku, '') AS sku FROM refund_lines
),
returned_orders AS (
    SELECT DISTINCT customer_id, original_order_id AS order_id FROM refund_lines WHERE original_order_id <> ''
),
sales AS (
    SELECT
        customer_id,
        coalesce(sku, '') AS sku,
        coalesce(order_id, '') AS order_id,
        day,
        revenue_reporting AS revenue,
        CASE WHEN returned_on <= $as_of AND $refunds = 'net' THEN revenue_reporting ELSE 0 END AS marked_returned
    FROM judged_order_lines
    -- few customers send things back: all others are out at once
    SEMI JOIN returning_customers USING (customer_id)
    WHERE is_used AND judged_order_lines.revenue > 0
    UNION ALL
    SELECT customer_id, sku, order_id, day, revenue, marked_returned
    FROM previous_returnable_sales
    SEMI JOIN returning_customers USING (customer_id)
)
SELECT
    sales.customer_id,
    sales.sku,
    sales.order_id,
    sales.day,
    CAST(sum(sales.revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(sales.marked_returned) AS DECIMAL(18, 2)) AS marked_returned
FROM sales
LEFT JOIN returned_products
    ON sales.customer_id = returned_products.customer_id AND sales.sku = returned_products.sku
LEFT JOIN returned_orders
    ON sales.customer_id = returned_orders.customer_id AND sales.order_id = returned_orders.order_id
WHERE returned_products.customer_id IS NOT NULL
    OR returned_orders.customer_id IS NOT NULL
    OR sales.marked_returned > 0
GROUP BY sales.customer_id, sales.sku, sales.order_id, sales.day
