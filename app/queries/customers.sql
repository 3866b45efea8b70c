-- One row per customer with all that the list of customers shows: the score beside the summary it was made from, what
-- churn says by the model that was chosen, and the intervals of orders and money. The median of a mean of two models
-- is the middle of both medians; NULL where either says that the order may never come.
-- Read once per snapshot, in the order of customer_id, which breaks the ties of every sort.
-- What a customer adds to the variance of a total is held in half the bytes: it is summed, never shown.
-- inputs: customer_scores, customer_summary, customer_churn, customer_intervals, portfolio_terms
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
  summary.T_days,
  churn.probability_no_order AS churn_no_order,
  CASE
    -- earlier versions wrote NaN where an order may never come
    WHEN contains(churn.chosen, ' + ') AND isfinite(churn.median_days_survival) AND isfinite(churn.median_days_btyd)
      THEN (churn.median_days_survival + churn.median_days_btyd) / 2
    WHEN contains(churn.chosen, ' + ') THEN NULL
    WHEN churn.probability_no_order = churn.probability_no_order_survival AND isfinite(churn.median_days_survival)
      THEN churn.median_days_survival
    WHEN churn.probability_no_order = churn.probability_no_order_survival THEN NULL
    WHEN isfinite(churn.median_days_btyd) THEN churn.median_days_btyd
  END AS churn_median_days,
  nullif(churn.reason_1, '') AS reason_1,
  nullif(churn.reason_2, '') AS reason_2,
  nullif(churn.reason_3, '') AS reason_3,
  churn.beyond_range AS churn_beyond_range,
  CAST(churn.horizon_days AS SMALLINT) AS churn_horizon_days,
  intervals.orders_low_50,
  intervals.orders_high_50,
  intervals.orders_low_80,
  intervals.orders_high_80,
  intervals.orders_low_90,
  intervals.orders_high_90,
  intervals.money_low_50,
  intervals.money_high_50,
  intervals.money_low_80,
  intervals.money_high_80,
  intervals.money_low_90,
  intervals.money_high_90,
  CAST(terms.orders_variance AS FLOAT) AS orders_variance,
  CAST(terms.orders_loading_1 AS FLOAT) AS orders_loading_1,
  CAST(terms.orders_loading_2 AS FLOAT) AS orders_loading_2,
  CAST(terms.orders_loading_3 AS FLOAT) AS orders_loading_3,
  CAST(terms.orders_loading_4 AS FLOAT) AS orders_loading_4,
  CAST(terms.value_variance AS FLOAT) AS value_variance,
  CAST(terms.value_loading_1 AS FLOAT) AS value_loading_1,
  CAST(terms.value_loading_2 AS FLOAT) AS value_loading_2,
  CAST(terms.value_loading_3 AS FLOAT) AS value_loading_3,
  CAST(terms.value_loading_4 AS FLOAT) AS value_loading_4,
  CAST(terms.value_loading_5 AS FLOAT) AS value_loading_5,
  CAST(terms.value_loading_6 AS FLOAT) AS value_loading_6,
  CAST(terms.value_loading_7 AS FLOAT) AS value_loading_7
FROM customer_scores AS score
JOIN customer_summary AS summary ON summary.customer_id = score.customer_id
LEFT JOIN customer_churn AS churn ON churn.customer_id = score.customer_id
LEFT JOIN customer_intervals AS intervals ON intervals.customer_id = score.customer_id
LEFT JOIN portfolio_terms AS terms ON terms.customer_id = score.customer_id
ORDER BY score.customer_id
