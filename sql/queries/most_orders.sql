-- The customers with the most orders: where tills, resellers and test accounts show.
-- inputs: customer_summary
-- output: most_orders
-- grain: customer_id
-- parameters: customers BIGINT default 20
SELECT
    customer_id,
    orders,
    frequency,
    revenue,
    first_order_on,
    last_order_on,
    CAST(orders AS DOUBLE) / nullif(CAST(sum(orders) OVER () AS DOUBLE), 0) AS share_of_orders
FROM customer_summary
ORDER BY orders DESC, customer_id
LIMIT $customers
