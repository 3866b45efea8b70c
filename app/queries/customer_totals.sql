-- What the chosen customers come to: how many, what they are worth, how likely they are still there. Both predictions
-- have 80% intervals: log-normal with the total as mean, from each customer's own chance and the models' errors.
-- inputs: filtered_customers
-- output: customer_totals
-- grain:
-- parameters:
WITH totals AS (
  SELECT
    count(*) AS customers,
    sum(customer_value) AS customer_value,
    sum(expected_orders) AS expected_orders,
    avg(probability_alive) AS probability_alive,
    sum(revenue) AS revenue,
    count(*) FILTER (WHERE frequency = 0) AS one_time_customers,
    min(CASE WHEN frequency = 0 THEN probability_alive END) AS one_time_probability_alive,
    min(first_order_on) AS first_order_on,
    sum(orders_variance)
      + power(sum(orders_loading_1), 2)
      + power(sum(orders_loading_2), 2)
      + power(sum(orders_loading_3), 2)
      + power(sum(orders_loading_4), 2) AS orders_variance,
    sum(value_variance)
      + power(sum(value_loading_1), 2)
      + power(sum(value_loading_2), 2)
      + power(sum(value_loading_3), 2)
      + power(sum(value_loading_4), 2)
      + power(sum(value_loading_5), 2)
      + power(sum(value_loading_6), 2)
      + power(sum(value_loading_7), 2) AS value_variance
  FROM filtered_customers
), spreads AS (
  SELECT
    *,
    ln(1 + orders_variance / nullif(power(expected_orders, 2), 0)) AS orders_spread,
    ln(1 + value_variance / nullif(power(customer_value, 2), 0)) AS value_spread
  FROM totals
)
SELECT
  * EXCLUDE (orders_variance, value_variance, orders_spread, value_spread),
  exp(ln(nullif(expected_orders, 0)) - orders_spread / 2 - 1.2815515655446004 * sqrt(orders_spread)) AS orders_low,
  exp(ln(nullif(expected_orders, 0)) - orders_spread / 2 + 1.2815515655446004 * sqrt(orders_spread)) AS orders_high,
  exp(ln(nullif(customer_value, 0)) - value_spread / 2 - 1.2815515655446004 * sqrt(value_spread)) AS value_low,
  exp(ln(nullif(customer_value, 0)) - value_spread / 2 + 1.2815515655446004 * sqrt(value_spread)) AS value_high
FROM spreads
