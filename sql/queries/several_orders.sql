-- Customer days with more than one order: all others have one.
-- inputs: judged_order_lines
-- output: several_orders
-- grain: customer_id, day
-- parameters:
SELECT customer_id, day, count(*) AS orders
FROM (
    SELECT customer_id, day, order_id
    FROM judged_order_lines
    WHERE is_used AND revenue >= 0 AND order_id IS NOT NULL
    GROUP BY customer_id, day, order_id
) AS orders_of_day
GROUP BY customer_id, day
HAVING count(*) > 1
