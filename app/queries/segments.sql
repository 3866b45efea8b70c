-- Customers and what they are worth, by segment.
-- inputs: customers
-- output: segments
-- grain: segment
-- parameters:
SELECT
  segment,
  count(*) AS customers,
  sum(customer_value) AS customer_value,
  sum(expected_orders) AS expected_orders,
  avg(probability_alive) AS probability_alive,
  avg(days_since_last_order) AS days_since_last_order,
  sum(revenue) AS revenue
FROM customers
GROUP BY segment
ORDER BY customer_value DESC, segment
