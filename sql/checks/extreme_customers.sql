-- Customers with very many orders, or with a large share of all and more than ten times their equal share.
-- inputs: customer_summary
-- output: check_results
-- grain: check_name
-- parameters: extreme_orders BIGINT default 10000, extreme_share DOUBLE default 0.01
-- severity: warning
-- message: These are mostly a till, a reseller or a test account: take them out of the orders, or mark their lines
-- with is_product = false. 'regulars query most_orders' lists them.
WITH totals AS (
    SELECT count(*) AS customers, sum(orders) AS orders FROM customer_summary
)
SELECT
    count(*) AS found,
    coalesce(
        CAST(max(customer_summary.orders) AS VARCHAR) || ' of ' || CAST(max(totals.orders) AS VARCHAR) || ' orders', ''
    ) AS example
FROM customer_summary
CROSS JOIN totals
WHERE customer_summary.orders > $extreme_orders
    OR (
        customer_summary.orders > $extreme_share * totals.orders
        AND customer_summary.orders * totals.customers > 10 * totals.orders
    )
