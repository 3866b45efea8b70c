-- The counts and sums at the head of the overview; period_days is the length of "lately".
-- inputs: customer_days, customer_summary
-- output: base_kpis
-- grain: kpi
-- parameters: as_of DATE, period_days BIGINT default 30
WITH customers AS (
    SELECT
        count(*) AS customers,
        count(*) FILTER (WHERE frequency > 0) AS repeat_customers,
        count(*) FILTER (WHERE date_diff('day', first_order_on, $as_of) < $period_days) AS new_customers,
        count(*) FILTER (WHERE date_diff('day', last_order_on, $as_of) < $period_days) AS active_customers,
        median(CAST(recency_days AS DOUBLE) / nullif(frequency, 0)) AS days_between,
        CAST(sum(returned_revenue) AS DOUBLE) AS returned_revenue,
        CAST(sum(revenue) AS DOUBLE) AS revenue,
        CAST(sum(returnable_revenue) AS DOUBLE) AS returnable_revenue
    FROM customer_summary
),
days AS (
    SELECT
        sum(orders) AS orders,
        sum(orders) FILTER (WHERE date_diff('day', day, $as_of) < $period_days) AS orders_lately,
        CAST(
            sum(revenue - returned_revenue) FILTER (WHERE date_diff('day', day, $as_of) < $period_days) AS DOUBLE
        ) AS revenue_lately,
        CAST(
            sum(revenue - returned_revenue) FILTER (
                WHERE date_diff('day', day, $as_of) >= $period_days
                    AND date_diff('day', day, $as_of) < 2 * $period_days
            ) AS DOUBLE
        ) AS revenue_before
    FROM customer_days
    WHERE day <= $as_of
),
figures AS (
    SELECT
        'customers' AS kpi, CAST(customers AS DOUBLE) AS value, 'customers' AS unit,
        'Customers with at least one purchase' AS meaning
    FROM customers
    UNION ALL
    SELECT
        'active_customers', CAST(active_customers AS DOUBLE), 'customers',
        'Customers who bought in the last ' || CAST($period_days AS VARCHAR) || ' days'
    FROM customers
    UNION ALL
    SELECT
        'new_customers', CAST(new_customers AS DOUBLE), 'customers',
        'Customers whose first purchase lies in the last ' || CAST($period_days AS VARCHAR) || ' days'
    FROM customers
    UNION ALL
    SELECT
        'repeat_rate', CAST(repeat_customers AS DOUBLE) / nullif(customers, 0), 'share',
        'Share of customers with purchases on more than one day'
    FROM customers
    UNION ALL
    SELECT
        'days_between_purchases', days_between, 'days',
        'Median over repeat customers of their mean gap between purchase days'
    FROM customers
    UNION ALL
    SELECT 'orders', CAST(orders AS DOUBLE), 'orders', 'All orders' FROM days
    UNION ALL
    SELECT
        'orders_lately', CAST(coalesce(orders_lately, 0) AS DOUBLE), 'orders',
        'Orders of the last ' || CAST($period_days AS VARCHAR) || ' days'
    FROM days
    UNION ALL
    SELECT 'revenue', revenue, 'currency', 'All sales less what came back' FROM customers
    UNION ALL
    SELECT
        'revenue_lately', coalesce(revenue_lately, 0), 'currency',
        'Sales less returns of the last ' || CAST($period_days AS VARCHAR) || ' days'
    FROM days
    UNION ALL
    SELECT
        'revenue_change', revenue_lately / nullif(revenue_before, 0) - 1, 'share',
        'revenue_lately over the ' || CAST($period_days AS VARCHAR) || ' days before, less 1'
    FROM days
    UNION ALL
    SELECT
        'average_order_value', customers.revenue / nullif(days.orders, 0), 'currency', 'revenue over orders'
    FROM customers
    CROSS JOIN days
    UNION ALL
    SELECT
        'return_rate', returned_revenue / nullif(revenue + returned_revenue, 0), 'share',
        'What came back over sales before returns'
    FROM customers
    UNION ALL
    SELECT
        'returnable_revenue', returnable_revenue, 'currency', 'Net revenue still inside its return window'
    FROM customers
)
SELECT
    kpi,
    value,
    CAST(NULL AS DOUBLE) AS low,
    CAST(NULL AS DOUBLE) AS high,
    unit,
    $as_of AS as_of,
    meaning
FROM figures
