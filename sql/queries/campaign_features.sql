-- What was known of a campaign's customers before the day of their send, or, where campaign is '', of every customer at
-- the end of the as-of date: whom to score. Only what happened on an earlier day counts: orders as they were sold,
-- whatever came back of them later, refunds on the day they were made, the account if it was open. Without an order
-- yet the counts are 0 and what needs one is NULL.
-- inputs: campaign_recipients, customer_days, return_lines, customers, resolved_customer_links
-- output: campaign_features
-- grain: customer_id
-- parameters: as_of DATE, campaign VARCHAR default ''
WITH moments AS (
    -- counted are the days before a send, and before the day after the as-of date
    SELECT customer_id, sent_on AS moment, 0 AS later FROM campaign_recipients
    UNION ALL
    SELECT DISTINCT customer_id, $as_of AS moment, 1 AS later
    FROM customer_days
    WHERE $campaign = '' AND day <= $as_of
),
history AS (
    SELECT
        moments.customer_id,
        date_diff('day', customer_days.day, moments.moment) + moments.later AS days_before,
        customer_days.orders,
        customer_days.revenue,
        customer_days.discount
    FROM moments
    JOIN customer_days ON moments.customer_id = customer_days.customer_id
),
bought AS (
    SELECT
        customer_id,
        count(*) AS purchase_days,
        max(days_before) AS first_before,
        min(days_before) AS last_before,
        sum(orders) AS orders,
        sum(revenue) AS revenue,
        sum(discount) AS discount,
        arg_max(revenue, days_before) AS first_order_revenue,
        sum(CASE WHEN days_before <= 28 THEN orders ELSE 0 END) AS orders_28,
        sum(CASE WHEN days_before <= 91 THEN orders ELSE 0 END) AS orders_91,
        sum(CASE WHEN days_before <= 364 THEN orders ELSE 0 END) AS orders_364,
        sum(CASE WHEN days_before <= 28 THEN revenue ELSE 0 END) AS revenue_28,
        sum(CASE WHEN days_before <= 91 THEN revenue ELSE 0 END) AS revenue_91,
        sum(CASE WHEN days_before <= 364 THEN revenue ELSE 0 END) AS revenue_364
    FROM history
    WHERE history.days_before > 0
    GROUP BY customer_id
),
came_back AS (
    SELECT moments.customer_id, -sum(return_lines.revenue_reporting) AS refunded
    FROM moments
    JOIN return_lines ON moments.customer_id = return_lines.customer_id
    WHERE date_diff('day', return_lines.day, moments.moment) + moments.later > 0
    GROUP BY moments.customer_id
),
opened AS (
    SELECT
        coalesce(resolved_customer_links.customer_id, customers.customer_id) AS customer_id,
        min(CAST(customers.joined_at AS DATE)) AS joined_on
    FROM customers
    LEFT JOIN resolved_customer_links ON customers.customer_id = resolved_customer_links.old_id
    GROUP BY coalesce(resolved_customer_links.customer_id, customers.customer_id)
)
SELECT
    moments.customer_id,
    bought.purchase_days - 1 AS frequency,
    CAST(bought.first_before - bought.last_before AS BIGINT) AS recency_days,
    CAST(bought.first_before AS BIGINT) AS T_days,
    CAST(bought.last_before AS BIGINT) AS days_since_last_order,
    coalesce(
        CAST(bought.revenue - bought.first_order_revenue AS DOUBLE) / nullif(bought.purchase_days - 1, 0), 0
    ) AS monetary_value,
    CAST(bought.first_order_revenue AS DOUBLE) AS first_order_revenue,
    CAST(coalesce(bought.orders, 0) AS BIGINT) AS orders_ever,
    CAST(coalesce(bought.orders_28, 0) AS BIGINT) AS orders_28,
    CAST(coalesce(bought.orders_91, 0) AS BIGINT) AS orders_91,
    CAST(coalesce(bought.orders_364, 0) AS BIGINT) AS orders_364,
    CAST(coalesce(bought.revenue, 0) AS DOUBLE) AS revenue_ever,
    CAST(coalesce(bought.revenue_28, 0) AS DOUBLE) AS revenue_28,
    CAST(coalesce(bought.revenue_91, 0) AS DOUBLE) AS revenue_91,
    CAST(coalesce(bought.revenue_364, 0) AS DOUBLE) AS revenue_364,
    CAST(coalesce(bought.discount, 0) AS DOUBLE) AS discount_ever,
    CAST(coalesce(came_back.refunded, 0) AS DOUBLE) AS refunded_ever,
    CASE
        WHEN date_diff('day', opened.joined_on, moments.moment) + moments.later > 0
            THEN CAST(date_diff('day', opened.joined_on, moments.moment) + moments.later AS BIGINT)
    END AS days_since_joined
FROM moments
LEFT JOIN bought ON moments.customer_id = bought.customer_id
LEFT JOIN came_back ON moments.customer_id = came_back.customer_id
LEFT JOIN opened ON moments.customer_id = opened.customer_id
