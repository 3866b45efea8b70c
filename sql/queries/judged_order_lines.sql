-- Every order line with its customer of today, its day, its money in the reporting currency and a verdict: reason is
-- '' for a line that counts, else the first of contract.SET_ASIDE_REASONS that applies. is_used says the same as
-- reason = '' in conditions that a scan can skip rows by.
-- inputs: order_lines, resolved_customer_links, daily_rates
-- output: judged_order_lines
-- grain:
-- parameters: as_of DATE, currency VARCHAR, guests VARCHAR, refunds VARCHAR, duplicates VARCHAR, zero_revenue VARCHAR
WITH numbered AS (
    SELECT
        *,
        -- only computed where duplicates are set aside: the planner drops it otherwise
        row_number() OVER (
            PARTITION BY
                customer_id, ordered_at, ordered_at_text, revenue, revenue_text, order_id, sku, quantity, unit_price,
                list_price, unit_cost, discount, store_id, channel, currency, returned_at, original_order_id,
                is_product
            ORDER BY ordered_at
        ) AS copy
    FROM order_lines
),
dated AS (
    SELECT
        CASE
            WHEN $guests = 'one_customer_per_order' AND (customer_id IS NULL OR trim(customer_id) = '')
                THEN 'guest:' || CASE WHEN revenue < 0 THEN coalesce(original_order_id, order_id) ELSE order_id END
            ELSE customer_id
        END AS known_as,
        customer_id AS source_customer_id,
        CAST(ordered_at AS DATE) AS day,
        coalesce(currency, $currency) AS line_currency,
        coalesce(currency = $currency, TRUE) AS is_reporting_currency,
        currency AS foreign_currency,
        ordered_at, ordered_at_text, revenue, revenue_text, order_id, sku, original_order_id, discount, is_product, channel,
        CAST(returned_at AS DATE) AS returned_on,
        copy
    FROM numbered
),
priced AS (
    SELECT
        dated.*,
        coalesce(resolved_customer_links.customer_id, dated.known_as) AS customer_id,
        -- one digit wider: DuckDB keeps DECIMAL(18) times DECIMAL(18) in 18 digits
        CASE
            WHEN is_reporting_currency THEN revenue
            ELSE try_cast(round(CAST(revenue AS DECIMAL(19, 2)) * rate, 2) AS DECIMAL(18, 2))
        END AS revenue_reporting,
        CASE
            WHEN is_reporting_currency THEN coalesce(discount, 0)
            ELSE coalesce(try_cast(round(CAST(discount AS DECIMAL(19, 2)) * rate, 2) AS DECIMAL(18, 2)), 0)
        END AS discount_reporting
    FROM dated
    LEFT JOIN resolved_customer_links ON dated.known_as = resolved_customer_links.old_id
    LEFT JOIN daily_rates ON dated.foreign_currency = daily_rates.currency AND dated.day = daily_rates.day
)
SELECT
    customer_id,
    day,
    revenue_reporting,
    discount_reporting,
    order_id,
    sku,
    channel,
    original_order_id,
    returned_on,
    source_customer_id,
    ordered_at,
    ordered_at_text,
    revenue,
    revenue_text,
    line_currency AS currency,
    CASE
        -- staging writes this in place of the ids of customers who were erased, see sql/privacy.py
        WHEN source_customer_id = 'regulars:erased' THEN 'erased_customer'
        WHEN revenue IS NULL THEN 'unreadable_revenue'
        WHEN ordered_at IS NULL THEN 'unreadable_date'
        WHEN day > $as_of THEN 'after_as_of'
        WHEN known_as IS NULL OR trim(known_as) = '' THEN 'missing_customer'
        WHEN revenue_reporting IS NULL THEN 'missing_exchange_rate'
        WHEN NOT coalesce(is_product, TRUE) THEN 'non_product'
        WHEN $duplicates = 'set_aside' AND copy > 1 THEN 'duplicate_line'
        WHEN $zero_revenue = 'set_aside' AND revenue = 0 THEN 'zero_revenue'
        WHEN $refunds = 'ignore' AND revenue < 0 THEN 'refund_ignored'
        ELSE ''
    END AS reason,
    revenue IS NOT NULL
        AND coalesce(source_customer_id <> 'regulars:erased', TRUE)
        AND ordered_at IS NOT NULL
        AND day <= $as_of
        -- an id that starts above the space needs no trimming; CASE, for OR would trim it all the same
        AND CASE WHEN known_as >= '!' THEN TRUE ELSE coalesce(trim(known_as) <> '', FALSE) END
        AND (is_reporting_currency OR revenue_reporting IS NOT NULL)
        AND coalesce(is_product, TRUE)
        AND ($duplicates = 'keep' OR copy = 1)
        AND ($zero_revenue = 'keep' OR revenue <> 0)
        AND ($refunds = 'net' OR revenue >= 0) AS is_used
FROM priced
