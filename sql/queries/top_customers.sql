-- The customers of whom most is expected, with what they have done so far.
-- inputs: customer_scores, customer_summary
-- output: top_customers
-- grain: customer_id
-- parameters: customers BIGINT default 100
SELECT
    customer_scores.customer_id,
    customer_scores.segment,
    customer_scores.customer_value,
    customer_scores.value_low,
    customer_scores.value_high,
    customer_scores.probability_alive,
    customer_scores.expected_orders,
    customer_summary.frequency,
    customer_summary.orders,
    customer_summary.revenue,
    customer_summary.last_order_on
FROM customer_scores
JOIN customer_summary ON customer_scores.customer_id = customer_summary.customer_id
ORDER BY customer_scores.customer_value DESC NULLS LAST, customer_scores.customer_id
LIMIT $customers
