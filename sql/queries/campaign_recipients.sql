-- Who was in a campaign, by the first send of each customer, links followed. Where unsent is 'control', everybody who
-- had bought before the campaign's first day and has no send is control from that day on, and whoever was sent something
-- without having bought before is left out, for there is nobody to compare him with. Rows of sends without a customer,
-- an arm or a time, and those after the as-of date, do not count.
-- inputs: sends, resolved_customer_links, customer_days
-- output: campaign_recipients
-- grain: customer_id
-- parameters: as_of DATE, campaign VARCHAR default '', control VARCHAR default 'control',
--   unsent VARCHAR default 'left_out'
WITH addressed AS (
    SELECT
        coalesce(resolved_customer_links.customer_id, sends.customer_id) AS customer_id,
        sends.arm,
        sends.sent_at,
        CAST(sends.sent_at AS DATE) AS sent_on,
        sends.propensity
    FROM sends
    LEFT JOIN resolved_customer_links ON sends.customer_id = resolved_customer_links.old_id
    WHERE
        sends.campaign = $campaign
        AND trim(sends.campaign) <> ''
        AND trim(sends.customer_id) <> ''
        AND trim(sends.arm) <> ''
        AND CAST(sends.sent_at AS DATE) <= $as_of
),
numbered AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY customer_id ORDER BY sent_at, arm, propensity NULLS LAST
        ) AS number
    FROM addressed
),
first_day AS (
    SELECT min(sent_on) AS sent_on FROM addressed
),
known AS (
    SELECT customer_id, min(day) AS first_order_on
    FROM customer_days
    WHERE $unsent = 'control'
    GROUP BY customer_id
),
rest AS (
    SELECT known.customer_id, first_day.sent_on
    FROM known
    CROSS JOIN first_day
    WHERE known.first_order_on < first_day.sent_on
)
SELECT numbered.customer_id, numbered.arm, numbered.sent_on, numbered.propensity
FROM numbered
LEFT JOIN known ON numbered.customer_id = known.customer_id
WHERE numbered.number = 1 AND ($unsent <> 'control' OR known.first_order_on < numbered.sent_on)
UNION ALL
SELECT rest.customer_id, $control AS arm, rest.sent_on, CAST(NULL AS DOUBLE) AS propensity
FROM rest
LEFT JOIN numbered ON rest.customer_id = numbered.customer_id AND numbered.number = 1
WHERE numbered.customer_id IS NULL
