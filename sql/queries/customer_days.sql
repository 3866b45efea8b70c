-- One row per customer and local calendar day with a purchase. What came back is netted on the day of its sale,
-- whenever it came. Days that an earlier snapshot has counted come from previous_customer_days, which a full build has
-- empty.
-- inputs: sale_days, return_matches, previous_customer_days
-- output: customer_days
-- grain: customer_id, day
-- parameters:
WITH days AS (
    SELECT customer_id, day, orders, lines, revenue, discount
    FROM sale_days
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
