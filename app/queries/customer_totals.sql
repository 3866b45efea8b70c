-- What the chosen customers come to: how many, what they are worth, how likely they are still there.
-- inputs: filtered_customers
-- output: customer_totals
-- grain:
-- parameters:
SELECT
  count(*) AS customers,
  sum(customer_value) AS customer_value,
  sum(expected_orders) AS expected_orders,
  avg(probability_alive) AS probability_alive,
  sum(revenue) AS revenue,
  count(*) FILTER (WHERE frequency = 0) AS one_time_customers,
  min(CASE WHEN frequency = 0 THEN probability_alive END) AS one_time_probability_alive,
  min(first_order_on) AS first_order_on
FROM filtered_customers
