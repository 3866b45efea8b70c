-- All that the snapshot says of one customer: score, summary, churn by each model, intervals.
-- inputs: customer_scores, customer_summary, customer_churn, customer_intervals
-- output: customer_record
-- grain: customer_id
-- parameters: customer VARCHAR
SELECT
  score.* EXCLUDE (as_of),
  summary.* EXCLUDE (customer_id),
  churn.* EXCLUDE (customer_id, as_of, probability_no_order),
  churn.probability_no_order AS churn_no_order,
  intervals.* EXCLUDE (customer_id)
FROM (SELECT * FROM customer_scores WHERE customer_id = $customer) AS score
JOIN (SELECT * FROM customer_summary WHERE customer_id = $customer) AS summary
  ON summary.customer_id = score.customer_id
-- the row's model_version is that of its score; runs of earlier versions have none of churn
LEFT JOIN (SELECT COLUMNS(lambda name: name <> 'model_version') FROM customer_churn WHERE customer_id = $customer) AS churn
  ON churn.customer_id = score.customer_id
LEFT JOIN (SELECT * FROM customer_intervals WHERE customer_id = $customer) AS intervals
  ON intervals.customer_id = score.customer_id
