-- Customers who have bought more than once and may have left, those with the most past revenue first.
-- inputs: customer_scores, customer_summary
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
    customer_scores.expected_order_value
FROM customer_scores
JOIN customer_summary ON customer_scores.customer_id = customer_summary.customer_id
WHERE customer_scores.segment = 'at_risk'
ORDER BY customer_summary.revenue DESC, customer_scores.customer_id
LIMIT $customers
