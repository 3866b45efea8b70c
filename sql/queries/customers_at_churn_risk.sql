-- Customers with several purchase days who by churn's chosen model more likely than not place no order in its horizon,
-- the likeliest first; among equals, those with the most past revenue. Reasons are there for as many customers as
-- [churn] explained says. Empty where [churn] is not configured.
-- inputs: customer_churn, customer_summary, customer_scores
-- output: customers_at_churn_risk
-- grain: customer_id
-- parameters: customers BIGINT default 100, least_probability DOUBLE default 0.5,
--   least_purchase_days BIGINT default 2
SELECT
    customer_churn.customer_id,
    customer_churn.horizon_days,
    customer_churn.probability_no_order,
    customer_churn.chosen,
    customer_churn.median_days_survival,
    customer_churn.median_days_btyd,
    customer_churn.days_since_order,
    customer_churn.beyond_range,
    customer_summary.last_order_on,
    customer_summary.orders,
    customer_summary.revenue,
    customer_scores.customer_value,
    customer_churn.reason_1,
    customer_churn.reason_2,
    customer_churn.reason_3
FROM customer_churn
JOIN customer_summary ON customer_churn.customer_id = customer_summary.customer_id
LEFT JOIN customer_scores ON customer_churn.customer_id = customer_scores.customer_id
WHERE customer_churn.probability_no_order >= $least_probability AND customer_summary.frequency + 1 >= $least_purchase_days
ORDER BY customer_churn.probability_no_order DESC, customer_summary.revenue DESC, customer_churn.customer_id
LIMIT $customers
