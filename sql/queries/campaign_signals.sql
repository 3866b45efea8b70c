-- What a campaign's customers had shown by the end of their outcome window, or, where campaign is '', every customer by
-- the end of the as-of date: the short signals that a customer model turns into value. Only customers who had bought
-- before the window, and only windows that are over. What came back is netted on the day of its sale.
-- inputs: campaign_recipients, customer_days
-- output: campaign_signals
-- grain: customer_id
-- parameters: as_of DATE, campaign VARCHAR default '', window_days BIGINT default 28
WITH moments AS (
    -- a day counts where it lies at least one day before the moment; the as-of date's moment is the day after it
    SELECT customer_id, sent_on AS moment, $window_days AS later
    FROM campaign_recipients
    WHERE date_diff('day', sent_on, $as_of) >= $window_days - 1
    UNION ALL
    SELECT DISTINCT customer_id, $as_of AS moment, 1 AS later
    FROM customer_days
    WHERE $campaign = '' AND day <= $as_of
),
history AS (
    SELECT
        moments.customer_id,
        date_diff('day', customer_days.day, moments.moment) + moments.later AS days_before,
        customer_days.revenue - customer_days.returned_revenue AS revenue
    FROM moments
    JOIN customer_days ON moments.customer_id = customer_days.customer_id
),
shown AS (
    SELECT
        customer_id,
        count(*) AS purchase_days,
        max(days_before) AS first_before,
        min(days_before) AS last_before,
        sum(revenue) AS revenue,
        arg_max(revenue, days_before) AS first_revenue,
        sum(CASE WHEN days_before <= $window_days THEN 1 ELSE 0 END) AS window_purchase_days,
        sum(CASE WHEN days_before <= $window_days THEN revenue ELSE 0 END) AS window_revenue
    FROM history
    WHERE history.days_before > 0
    GROUP BY customer_id
)
SELECT
    customer_id,
    purchase_days - 1 AS frequency,
    CAST(first_before - last_before AS BIGINT) AS recency_days,
    CAST(first_before - 1 AS BIGINT) AS T_days,
    coalesce(CAST(revenue - first_revenue AS DOUBLE) / nullif(purchase_days - 1, 0), 0) AS monetary_value,
    CAST(window_purchase_days AS BIGINT) AS window_purchase_days,
    CAST(window_revenue AS DOUBLE) AS window_revenue
FROM shown
WHERE first_before > $window_days
