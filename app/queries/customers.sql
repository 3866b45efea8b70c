-- One row per customer with all that the list of customers shows: the score beside the summary it was made from.
-- Read once per snapshot, in the order of customer_id, which breaks the ties of every sort.
-- inputs: customer_scores, customer_summary
-- output: customers
-- grain: customer_id
-- parameters:
SELECT
  score.customer_id,
  score.segment,
  score.customer_value,
  score.value_low,
  score.value_high,
  score.probability_alive,
  score.expected_orders,
  score.orders_low,
  score.orders_high,
  score.expected_order_value,
  score.probability_no_order,
  score.next_order_days,
  summary.last_order_on,
  summary.T_days - summary.recency_days AS days_since_last_order,
  summary.frequency,
  summary.orders,
  summary.revenue,
  summary.first_order_on,
  summary.monetary_value,
  summary.return_rate,
  summary.returned_revenue,
  summary.returnable_revenue,
  summary.T_days
FROM customer_scores AS score
JOIN customer_summary AS summary ON summary.customer_id = score.customer_id
ORDER BY score.customer_id
