-- One row per customer and local calendar day with a purchase. What came back is netted on the day of its sale,
-- whenever it came. Days that an earlier snapshot has counted come from previous_customer_days, which a full build has
-- empty.
-- inputs: judged_order_lines, several_orders, return_matches, previous_customer_days
-- output: customer_days
-- grain: customer_id, day
-- parameters:
WITH new_days AS (
    SELECT
        customer_id,
        day,
        count(*) AS lines,
        sum(revenue_reporting) AS revenue,
        sum(discount_reporting) AS discount
    FROM judged_order_lines
    WHERE is_used AND judged_order_lines.revenue >= 0
    GROUP BY customer_id, day
),
days AS (
    SELECT
        new_days.customer_id,
        new_days.day,
        coalesce(several_orders.orders, 1) AS orders,
        new_days.lines,
        CAST(new_days.revenue AS DECIMAL(18, 2)) AS revenue,
        CAST(new_days.discount AS DECIMAL(18, 2)) AS discount
    FROM new_days
    LEFT JOIN several_orders
        ON new_days.customer_id = several_orders.customer_id AND new_days.day = several_orders.day
    UNION ALL
    SELECT customer_id, day, orders, lines, revenue, discount
    FROM previous_customer_days
),
came_back AS (
    SELECT customer_id, day, CAST(sum(settled) AS DECIMAL(18, 2)) AS revenue
    FROM return_matches
    WHERE NOT is_refund
    GROUP BY customer_id, day
)
SELECT
    days.customer_id,
    days.day,
    days.orders,
    days.lines,
    days.revenue,
    coalesce(came_back.revenue, CAST(0 AS DECIMAL(18, 2))) AS returned_revenue,
    days.discount
FROM days
LEFT JOIN came_back ON days.customer_id = came_back.customer_id AND days.day = came_back.day
