-- Who may be leaving, a row a customer: P(no order) by what was chosen and by both models, the time to the next order,
-- reasons, and what is at stake: the usual revenue of so many days times P(no order) in them.
-- inputs: customer_churn, customer_scores, customer_summary
-- output: at_risk
-- grain: customer_id
-- parameters:
SELECT
  churn.customer_id,
  churn.probability_no_order,
  churn.probability_no_order
    * CAST(summary.revenue AS DOUBLE) * churn.horizon_days / greatest(summary.T_days, 365) AS value_at_stake,
  scores.customer_value,
  scores.segment,
  churn.days_since_order,
  churn.median_days_survival,
  churn.median_days_btyd,
  churn.reason_1,
  churn.reason_2,
  churn.reason_3,
  churn.probability_no_order_survival,
  churn.probability_no_order_btyd,
  churn.beyond_range,
  churn.horizon_days,
  churn.chosen,
  summary.frequency,
  summary.revenue,
  summary.last_order_on
FROM customer_churn AS churn
JOIN customer_summary AS summary ON summary.customer_id = churn.customer_id
LEFT JOIN customer_scores AS scores ON scores.customer_id = churn.customer_id
ORDER BY churn.customer_id
