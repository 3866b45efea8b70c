-- Sales by customer and local calendar day, before returns. Orders are told apart by order_id; a day whose lines name
-- none counts as one order.
-- inputs: judged_order_lines
-- output: sale_days
-- grain: customer_id, day
-- parameters:
SELECT
    customer_id,
    day,
    greatest(count(order_id), 1) AS orders,
    CAST(sum(lines) AS BIGINT) AS lines,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(discount) AS DECIMAL(18, 2)) AS discount
FROM (
    SELECT
        customer_id,
        day,
        order_id,
        count(*) AS lines,
        sum(revenue_reporting) AS revenue,
        sum(discount_reporting) AS discount
    FROM judged_order_lines
    WHERE is_used AND judged_order_lines.revenue >= 0
    GROUP BY customer_id, day, order_id
) AS sale_orders
GROUP BY customer_id, day
