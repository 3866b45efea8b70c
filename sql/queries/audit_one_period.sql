-- Lens 1 of the audit: how different customers are. Those who bought in the latest period in tenths by net revenue,
-- the best first.
-- inputs: audit_periods, customer_days
-- output: audit_one_period
-- grain: decile
-- parameters:
WITH spent AS (
    SELECT
        customer_days.customer_id,
        sum(customer_days.revenue - customer_days.returned_revenue) AS revenue,
        count(*) AS purchase_days,
        sum(customer_days.orders) AS orders
    FROM customer_days
    JOIN audit_periods ON customer_days.day BETWEEN audit_periods.starts_on AND audit_periods.ends_on
    WHERE audit_periods.period = 0
    GROUP BY customer_days.customer_id
),
ranked AS (
    SELECT *, ntile(10) OVER (ORDER BY revenue DESC, customer_id) AS decile
    FROM spent
),
tenths AS (
    SELECT
        decile,
        count(*) AS customers,
        sum(purchase_days) AS purchase_days,
        sum(orders) AS orders,
        sum(revenue) AS revenue,
        min(revenue) AS revenue_from
    FROM ranked
    GROUP BY decile
)
SELECT
    CAST(decile AS BIGINT) AS decile,
    customers,
    CAST(purchase_days AS BIGINT) AS purchase_days,
    CAST(orders AS BIGINT) AS orders,
    CAST(revenue AS DECIMAL(18, 2)) AS revenue,
    CAST(revenue_from AS DECIMAL(18, 2)) AS revenue_from,
    CAST(revenue AS DOUBLE) / nullif(CAST(sum(revenue) OVER () AS DOUBLE), 0) AS revenue_share,
    CAST(orders AS DOUBLE) / nullif(CAST(customers AS DOUBLE), 0) AS orders_per_customer,
    CAST(revenue AS DOUBLE) / nullif(CAST(orders AS DOUBLE), 0) AS order_value
FROM tenths
