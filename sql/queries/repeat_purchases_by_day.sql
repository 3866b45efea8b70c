-- Repeat purchase days on each day, of customers acquired by calibration_end: what the models' tracking is held to.
-- inputs: customer_days
-- output: repeat_purchases_by_day
-- grain: day
-- parameters: calibration_end DATE, observation_end DATE
WITH acquired AS (
    SELECT customer_id, min(day) AS first_order_on
    FROM customer_days
    GROUP BY customer_id
    HAVING min(day) <= $calibration_end
)
SELECT customer_days.day, count(*) AS purchase_days
FROM customer_days
JOIN acquired
    ON customer_days.customer_id = acquired.customer_id AND customer_days.day > acquired.first_order_on
WHERE customer_days.day <= $observation_end
GROUP BY customer_days.day
