-- Lens 5 of the audit: how healthy the base is. Period by period: who bought and what they spent, by whether they are
-- new, were there the period before, or came back; and how many were lost.
-- inputs: audit_periods, customer_days, customer_summary
-- output: audit_health
-- grain: period
-- parameters:
WITH spent AS (
    SELECT
        audit_periods.period,
        audit_periods.starts_on,
        customer_days.customer_id,
        sum(customer_days.revenue - customer_days.returned_revenue) AS revenue,
        sum(customer_days.orders) AS orders
    FROM customer_days
    JOIN audit_periods ON customer_days.day BETWEEN audit_periods.starts_on AND audit_periods.ends_on
    GROUP BY audit_periods.period, audit_periods.starts_on, customer_days.customer_id
),
placed AS (
    SELECT
        spent.*,
        CASE
            WHEN customer_summary.first_order_on >= spent.starts_on THEN 'new'
            WHEN lag(spent.period) OVER (PARTITION BY spent.customer_id ORDER BY spent.period DESC) = spent.period + 1
                THEN 'kept'
            ELSE 'returned'
        END AS status
    FROM spent
    JOIN customer_summary ON spent.customer_id = customer_summary.customer_id
),
counted AS (
    SELECT
        period,
        count(*) AS customers,
        count(*) FILTER (WHERE status = 'new') AS new_customers,
        count(*) FILTER (WHERE status = 'kept') AS kept_customers,
        count(*) FILTER (WHERE status = 'returned') AS returned_customers,
        sum(orders) AS orders,
        sum(revenue) AS revenue,
        coalesce(sum(revenue) FILTER (WHERE status = 'new'), 0) AS new_revenue,
        coalesce(sum(revenue) FILTER (WHERE status = 'kept'), 0) AS kept_revenue,
        coalesce(sum(revenue) FILTER (WHERE status = 'returned'), 0) AS returned_revenue
    FROM placed
    GROUP BY period
),
everyone AS (
    SELECT
        audit_periods.period,
        audit_periods.starts_on,
        audit_periods.ends_on,
        audit_periods.is_complete,
        coalesce(counted.customers, 0) AS customers,
        coalesce(counted.new_customers, 0) AS new_customers,
        coalesce(counted.kept_customers, 0) AS kept_customers,
        coalesce(counted.returned_customers, 0) AS returned_customers,
        lag(coalesce(counted.customers, 0)) OVER (ORDER BY audit_periods.period DESC) AS customers_before,
        coalesce(counted.orders, 0) AS orders,
        coalesce(counted.revenue, 0) AS revenue,
        coalesce(counted.new_revenue, 0) AS new_revenue,
        coalesce(counted.kept_revenue, 0) AS kept_revenue,
        coalesce(counted.returned_revenue, 0) AS returned_revenue
    FROM audit_periods
    LEFT JOIN counted ON audit_periods.period = counted.period
)
SELECT
    period,
    starts_on,
    ends_on,
    is_complete,
    customers,
    new_customers,
    kept_customers,
    returned_customers,
    customers_before - kept_customers AS lost_customers,
    CAST(orders AS BIGINT) AS orders,
    CAST(revenue AS DECIMAL(18, 2)) AS revenue,
    CAST(new_revenue AS DECIMAL(18, 2)) AS new_customers_revenue,
    CAST(kept_revenue AS DECIMAL(18, 2)) AS kept_customers_revenue,
    CAST(returned_revenue AS DECIMAL(18, 2)) AS returned_customers_revenue,
    CAST(kept_customers AS DOUBLE) / nullif(CAST(customers_before AS DOUBLE), 0) AS kept_share,
    CAST(orders AS DOUBLE) / nullif(CAST(customers AS DOUBLE), 0) AS orders_per_customer,
    CAST(revenue AS DOUBLE) / nullif(CAST(orders AS DOUBLE), 0) AS order_value
FROM everyone
