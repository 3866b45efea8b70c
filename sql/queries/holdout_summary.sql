-- Customers acquired by calibration_end: their summary then, and what they did after it until observation_end. What
-- came back is netted on the day of its sale in both windows, whenever it came.
-- inputs: customer_days
-- output: holdout_summary
-- grain: customer_id
-- parameters: calibration_end DATE, observation_end DATE, days_per_unit DOUBLE
WITH customers AS (
    SELECT
        customer_id,
        count(*) FILTER (WHERE day <= $calibration_end) AS days,
        min(day) AS first_order_on,
        max(day) FILTER (WHERE day <= $calibration_end) AS last_order_on,
        sum(revenue - returned_revenue) FILTER (WHERE day <= $calibration_end) AS revenue,
        arg_min(revenue - returned_revenue, day) AS first_order_revenue,
        count(*) FILTER (WHERE day > $calibration_end) AS days_holdout,
        coalesce(sum(revenue - returned_revenue) FILTER (WHERE day > $calibration_end), 0) AS revenue_holdout
    FROM customer_days
    WHERE day <= $observation_end
    GROUP BY customer_id
    HAVING min(day) <= $calibration_end
)
SELECT
    customer_id,
    days - 1 AS frequency,
    date_diff('day', first_order_on, last_order_on) / nullif($days_per_unit, 0) AS recency,
    date_diff('day', first_order_on, $calibration_end) / nullif($days_per_unit, 0) AS T,
    coalesce(CAST(revenue - first_order_revenue AS DOUBLE) / nullif(days - 1, 0), 0) AS monetary_value,
    CAST(date_diff('day', first_order_on, last_order_on) AS BIGINT) AS recency_days,
    CAST(date_diff('day', first_order_on, $calibration_end) AS BIGINT) AS T_days,
    days_holdout AS frequency_holdout,
    CAST(revenue_holdout AS DECIMAL(18, 2)) AS revenue_holdout,
    coalesce(CAST(revenue_holdout AS DOUBLE) / nullif(days_holdout, 0), 0) AS monetary_value_holdout,
    date_diff('day', $calibration_end, $observation_end) / nullif($days_per_unit, 0) AS duration_holdout
FROM customers
