-- Customers and what they are worth, by segment, value with an 80% interval: log-normal with the total as mean, from
-- each customer's own chance and the models' errors.
-- inputs: customers
-- output: segments
-- grain: segment
-- parameters:
WITH totals AS (
  SELECT
    segment,
    count(*) AS customers,
    sum(customer_value) AS customer_value,
    sum(expected_orders) AS expected_orders,
    avg(probability_alive) AS probability_alive,
    avg(days_since_last_order) AS days_since_last_order,
    sum(revenue) AS revenue,
    sum(value_variance)
      + power(sum(value_loading_1), 2)
      + power(sum(value_loading_2), 2)
      + power(sum(value_loading_3), 2)
      + power(sum(value_loading_4), 2)
      + power(sum(value_loading_5), 2)
      + power(sum(value_loading_6), 2)
      + power(sum(value_loading_7), 2) AS value_variance
  FROM customers
  GROUP BY segment
), spreads AS (
  SELECT *, ln(1 + value_variance / nullif(power(customer_value, 2), 0)) AS value_spread
  FROM totals
)
SELECT
  * EXCLUDE (value_variance, value_spread),
  exp(ln(nullif(customer_value, 0)) - value_spread / 2 - 1.2815515655446004 * sqrt(value_spread)) AS value_low,
  exp(ln(nullif(customer_value, 0)) - value_spread / 2 + 1.2815515655446004 * sqrt(value_spread)) AS value_high
FROM spreads
ORDER BY customer_value DESC, segment
