-- How many customers made their first purchase on each day, of those acquired by calibration_end.
-- inputs: customer_days
-- output: first_purchases_by_day
-- grain: day
-- parameters: calibration_end DATE
SELECT first_order_on AS day, count(*) AS customers
FROM (
    SELECT customer_id, min(day) AS first_order_on
    FROM customer_days
    GROUP BY customer_id
    HAVING min(day) <= $calibration_end
) AS acquired
GROUP BY first_order_on
