-- Every order line as price response reads it: its item, store, period, units and what they cost the buyer, before any
-- discount, and the shop, in the reporting currency; whether it is of the category asked for; and a verdict: reason is
-- '' for a line that counts, else the first of contract.PANEL_REASONS that applies. Guests count: demand has no name. An
-- item is the style-colour over its sizes where the products have one, or the SKU; a period is the week, from its
-- Monday, or the day.
-- inputs: order_lines, products, daily_rates
-- output: priced_lines
-- grain:
-- parameters: as_of DATE, currency VARCHAR, duplicates VARCHAR, item_level VARCHAR default 'style_color',
--   period VARCHAR default 'week', category VARCHAR default ''
WITH items AS (
    SELECT
        sku,
        min(CASE WHEN $item_level = 'style_color' THEN style_color END) AS style_color,
        min(unit_cost) AS unit_cost,
        min(category_1) AS category_1,
        min(category_2) AS category_2,
        min(category_3) AS category_3
    FROM products
    GROUP BY sku
),
numbered AS (
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
        coalesce(items.style_color, numbered.sku) AS item,
        numbered.sku,
        coalesce(numbered.store_id, '') AS store_id,
        CAST(numbered.ordered_at AS DATE) AS day,
        numbered.quantity,
        numbered.revenue,
        numbered.discount,
        -- one digit wider: DuckDB keeps DECIMAL(18) times DECIMAL(18) in 18 digits
        CAST(numbered.unit_price AS DECIMAL(19, 4)) AS unit_price,
        CAST(numbered.list_price AS DECIMAL(19, 4)) AS list_price,
        CAST(coalesce(numbered.unit_cost, items.unit_cost) AS DECIMAL(19, 4)) AS unit_cost,
        coalesce(numbered.currency = $currency, TRUE) AS is_reporting_currency,
        numbered.currency,
        numbered.is_product,
        numbered.copy,
        items.category_1,
        items.category_2,
        items.category_3
    FROM numbered
    LEFT JOIN items ON numbered.sku = items.sku
),
valued AS (
    SELECT
        dated.*,
        CASE WHEN is_reporting_currency THEN CAST(1 AS DECIMAL(18, 8)) ELSE daily_rates.rate END AS rate,
        coalesce(
            TRY_CAST(round(dated.unit_price * dated.quantity, 4) AS DECIMAL(19, 4)),
            CAST(dated.revenue AS DECIMAL(19, 4))
        ) AS paid,
        TRY_CAST(round(dated.list_price * dated.quantity, 4) AS DECIMAL(19, 4)) AS listed,
        TRY_CAST(round(dated.unit_cost * dated.quantity, 4) AS DECIMAL(19, 4)) AS spent
    FROM dated
    LEFT JOIN daily_rates ON dated.currency = daily_rates.currency AND dated.day = daily_rates.day
)
SELECT
    item,
    sku,
    store_id,
    day,
    CASE WHEN $period = 'day' THEN day ELSE CAST(date_trunc('week', day) AS DATE) END AS week,
    quantity,
    TRY_CAST(round(CAST(revenue AS DECIMAL(19, 2)) * rate, 2) AS DECIMAL(18, 2)) AS revenue,
    TRY_CAST(round(paid * rate, 4) AS DECIMAL(19, 4)) AS paid,
    -- a list price below what was paid is none
    TRY_CAST(
        round(
            CASE WHEN listed >= paid THEN listed WHEN listed IS NULL AND discount >= 0 THEN paid + discount END * rate, 4
        ) AS DECIMAL(19, 4)
    ) AS listed,
    -- the cost of a product is in the reporting currency already where the line does not say it
    TRY_CAST(round(spent * rate, 4) AS DECIMAL(19, 4)) AS spent,
    category_1,
    category_2,
    category_3,
    coalesce(
        $category = '' OR category_1 = $category OR category_2 = $category OR category_3 = $category, FALSE
    ) AS in_category,
    CASE
        WHEN day IS NULL THEN 'unreadable_date'
        WHEN day > $as_of THEN 'after_as_of'
        WHEN item IS NULL OR trim(item) = '' THEN 'missing_item'
        WHEN NOT coalesce(is_product, TRUE) THEN 'non_product'
        WHEN $duplicates = 'set_aside' AND copy > 1 THEN 'duplicate_line'
        WHEN quantity < 0 OR revenue < 0 THEN 'return_line'
        WHEN quantity IS NULL OR quantity = 0 THEN 'missing_units'
        WHEN paid IS NULL THEN 'missing_price'
        WHEN paid <= 0 THEN 'no_positive_price'
        WHEN rate IS NULL THEN 'missing_exchange_rate'
        ELSE ''
    END AS reason
FROM valued
