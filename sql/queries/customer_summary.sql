-- What the models read: one row per customer as of a date, from days up to it. Times are in the unit that
-- days_per_unit states. returnable_revenue was sold less than return_window_days before the as-of date.
-- inputs: customer_days
-- output: customer_summary
-- grain: customer_id
-- parameters: as_of DATE, days_per_unit DOUBLE, return_window_days BIGINT
WITH customers AS (
    SELECT
        customer_id,
        count(*) AS days,
        min(day) AS first_order_on,
        max(day) AS last_order_on,
        sum(orders) AS orders,
        sum(revenue) AS sold,
        sum(returned_revenue) AS returned_revenue,
        arg_min(revenue - returned_revenue, day) AS first_order_revenue,
        coalesce(
            sum(revenue - returned_revenue) FILTER (WHERE date_diff('day', day, $as_of) < $return_window_days), 0
        ) AS returnable_revenue
    FROM customer_days
    WHERE day <= $as_of
    GROUP BY customer_id
)
SELECT
    customer_id,
    days - 1 AS frequency,
    date_diff('day', first_order_on, last_order_on) / nullif($days_per_unit, 0) AS recency,
    date_diff('day', first_order_on, $as_of) / nullif($days_per_unit, 0) AS T,
    coalesce(CAST(sold - returned_revenue - first_order_revenue AS DOUBLE) / nullif(days - 1, 0), 0) AS monetary_value,
    CAST(date_diff('day', first_order_on, last_order_on) AS BIGINT) AS recency_days,
    CAST(date_diff('day', first_order_on, $as_of) AS BIGINT) AS T_days,
    first_order_on,
    last_order_on,
    CAST(orders AS BIGINT) AS orders,
    CAST(sold - returned_revenue AS DECIMAL(18, 2)) AS revenue,
    CAST(first_order_revenue AS DECIMAL(18, 2)) AS first_order_revenue,
    CAST(returned_revenue AS DECIMAL(18, 2)) AS returned_revenue,
    CAST(returned_revenue AS DOUBLE) / nullif(CAST(sold AS DOUBLE), 0) AS return_rate,
    CAST(returnable_revenue AS DECIMAL(18, 2)) AS returnable_revenue
FROM customers
