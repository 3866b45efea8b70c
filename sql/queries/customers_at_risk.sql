-- Customers who have bought more than once and may have left, those with the most past revenue first. What churn says
-- of them, and why, is there where [churn] is configured.
-- inputs: customer_scores, customer_summary, customer_churn
-- output: customers_at_risk
-- grain: customer_id
-- parameters: customers BIGINT default 100
SELECT
    customer_scores.customer_id,
    customer_summary.revenue,
    customer_summary.orders,
    customer_summary.last_order_on,
    customer_scores.probability_alive,
    customer_scores.probability_no_order,
    customer_scores.customer_value,
    customer_scores.expected_order_value,
    customer_churn.horizon_days AS churn_horizon_days,
    customer_churn.probability_no_order AS churn_probability_no_order,
    customer_churn.chosen AS churn_model,
    coalesce(customer_churn.reason_1, '') AS reason_1,
    coalesce(customer_churn.reason_2, '') AS reason_2,
    coalesce(customer_churn.reason_3, '') AS reason_3
FROM customer_scores
JOIN customer_summary ON customer_scores.customer_id = customer_summary.customer_id
LEFT JOIN customer_churn ON customer_scores.customer_id = customer_churn.customer_id
WHERE customer_scores.segment = 'at_risk'
ORDER BY customer_summary.revenue DESC, customer_scores.customer_id
LIMIT $customers
