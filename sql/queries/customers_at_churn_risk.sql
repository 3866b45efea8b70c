-- Customers with several purchase days who by churn's chosen model more likely than not place no order in its horizon,
-- those with the most at stake first: the usual revenue of the horizon (a year's, shared out) times P(no order) in it.
-- sort_by: 'stake', 'probability' (the long lost first) or 'revenue'; another word gives no rows. Reasons are there for
-- as many customers as [churn] explained says, those with the most at stake. Empty where [churn] is not configured.
-- inputs: customer_churn, customer_summary, customer_scores
-- output: customers_at_churn_risk
-- grain: customer_id
-- parameters: customers BIGINT default 100, least_probability DOUBLE default 0.5,
--   least_purchase_days BIGINT default 2, sort_by VARCHAR default 'stake', year_days BIGINT default 365
WITH at_stake AS (
    SELECT
        customer_churn.customer_id,
        customer_churn.horizon_days,
        customer_churn.probability_no_order,
        customer_churn.probability_no_order * CAST(customer_summary.revenue AS DOUBLE) * customer_churn.horizon_days
        / nullif(greatest(customer_summary.T_days, $year_days), 0) AS value_at_stake,
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
        customer_churn.reason_3,
        CAST(customer_summary.revenue AS DOUBLE) AS money
    FROM customer_churn
    JOIN customer_summary ON customer_churn.customer_id = customer_summary.customer_id
    LEFT JOIN customer_scores ON customer_churn.customer_id = customer_scores.customer_id
    WHERE
        customer_churn.probability_no_order >= $least_probability
        AND customer_summary.frequency + 1 >= $least_purchase_days
        AND $sort_by IN ('stake', 'probability', 'revenue')
),

placed AS (
    SELECT
        *,
        CASE
            WHEN $sort_by = 'probability' THEN probability_no_order
            WHEN $sort_by = 'revenue' THEN money
            ELSE value_at_stake
        END AS place
    FROM at_stake
)

SELECT
    customer_id,
    horizon_days,
    probability_no_order,
    value_at_stake,
    chosen,
    median_days_survival,
    median_days_btyd,
    days_since_order,
    beyond_range,
    last_order_on,
    orders,
    revenue,
    customer_value,
    reason_1,
    reason_2,
    reason_3
FROM placed
ORDER BY place DESC, revenue DESC, customer_id
LIMIT $customers
