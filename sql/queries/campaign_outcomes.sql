-- What each of a campaign's customers did in the window_days days that begin with the day of the send: net revenue,
-- orders, and whether there was any. NULL where the window was not over by the end of the as-of date.
-- inputs: campaign_recipients, customer_days
-- output: campaign_outcomes
-- grain: customer_id
-- parameters: as_of DATE, window_days BIGINT default 28
WITH bought AS (
    SELECT
        campaign_recipients.customer_id,
        sum(customer_days.orders) AS orders,
        sum(customer_days.revenue - customer_days.returned_revenue) AS revenue
    FROM campaign_recipients
    JOIN customer_days ON campaign_recipients.customer_id = customer_days.customer_id
    WHERE
        date_diff('day', campaign_recipients.sent_on, customer_days.day) >= 0
        AND date_diff('day', campaign_recipients.sent_on, customer_days.day) < $window_days
    GROUP BY campaign_recipients.customer_id
),
judged AS (
    SELECT
        campaign_recipients.customer_id,
        campaign_recipients.arm,
        campaign_recipients.sent_on,
        campaign_recipients.propensity,
        date_diff('day', campaign_recipients.sent_on, $as_of) >= $window_days - 1 AS is_over,
        coalesce(bought.orders, 0) AS orders,
        coalesce(bought.revenue, 0) AS revenue
    FROM campaign_recipients
    LEFT JOIN bought ON campaign_recipients.customer_id = bought.customer_id
)
SELECT
    customer_id,
    arm,
    sent_on,
    propensity,
    CASE WHEN is_over THEN CAST(revenue AS DOUBLE) END AS revenue,
    CASE WHEN is_over THEN CAST(orders AS BIGINT) END AS orders,
    CASE WHEN is_over THEN orders > 0 END AS ordered
FROM judged
