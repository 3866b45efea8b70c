-- The purchase days of one customer.
-- inputs: customer_days
-- output: customer_timeline
-- grain: day
-- parameters: customer VARCHAR
SELECT day, orders, lines, revenue, returned_revenue, revenue - returned_revenue AS net_revenue
FROM customer_days
WHERE customer_id = $customer
ORDER BY day
