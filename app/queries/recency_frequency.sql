-- Customers by how often they bought again and how long ago they last did.
-- inputs: filtered_customers
-- output: recency_frequency
-- grain: frequency, days_since_last_order
-- parameters:
SELECT
  frequency,
  days_since_last_order,
  count(*) AS customers,
  sum(probability_alive) AS probability_alive,
  sum(expected_orders) AS expected_orders,
  sum(customer_value) AS customer_value,
  sum(CAST(revenue AS DOUBLE)) AS revenue
FROM filtered_customers
GROUP BY frequency, days_since_last_order
ORDER BY frequency, days_since_last_order
