-- Item x store x week, or day, from an item's first sale in a store to its last: units, the price paid, the regular
-- price, stock and what was promoted. A period without a sale is a row with 0 units; which price it carries is a choice
-- ($unsold) and price_rule says which rule gave each: 'sold' what buyers paid on average, 'other_stores' what they paid
-- in other stores in that period, 'carried' the last price paid, 'regular' the last regular price, 'missing' none. A
-- regular price is the list price ('list') or, without one, the highest price of this and the eight periods before
-- ('recent_highest'). Stores count as one where $stores = 'together'. Stock is known where every SKU, and store, that
-- an item sells in that week has a row for it; stock_rule says of each row whether it is, and if not, why.
-- inputs: priced_lines, products, stock, promotions
-- output: item_weeks
-- grain: item, store_id, week
-- parameters: stores VARCHAR default 'together', unsold VARCHAR default 'carried', period VARCHAR default 'week',
--   item_level VARCHAR default 'style_color', promoted_from DOUBLE default 0.05
WITH named AS (
    SELECT
        sku,
        coalesce(min(CASE WHEN $item_level = 'style_color' THEN style_color END), sku) AS item,
        min(launched_on) AS launched_on
    FROM products
    GROUP BY sku
),
launched AS (
    SELECT item, CAST(date_trunc('week', min(launched_on)) AS DATE) AS launch_week FROM named GROUP BY item
),
counted AS (
    SELECT
        *,
        CASE WHEN $stores = 'apart' THEN store_id ELSE '' END AS store
    FROM priced_lines
    WHERE reason = '' AND in_category
),
classed AS (
    SELECT
        item, min(category_1) AS category_1, min(category_2) AS category_2, min(category_3) AS category_3,
        min(week) AS first_sold
    FROM counted
    GROUP BY item
),
sold AS (
    SELECT
        item,
        store,
        week,
        sum(quantity) AS units,
        sum(revenue) AS revenue,
        CAST(sum(paid) AS DOUBLE) / nullif(CAST(sum(quantity) AS DOUBLE), 0) AS price,
        CAST(sum(CASE WHEN listed IS NOT NULL THEN listed END) AS DOUBLE)
            / nullif(CAST(sum(CASE WHEN listed IS NOT NULL THEN quantity END) AS DOUBLE), 0) AS list_price,
        CAST(sum(CASE WHEN spent IS NOT NULL THEN spent END) AS DOUBLE)
            / nullif(CAST(sum(CASE WHEN spent IS NOT NULL THEN quantity END) AS DOUBLE), 0) AS unit_cost
    FROM counted
    GROUP BY item, store, week
),
elsewhere AS (
    SELECT item, week, CAST(sum(paid) AS DOUBLE) / nullif(CAST(sum(quantity) AS DOUBLE), 0) AS price
    FROM counted
    GROUP BY item, week
),
weeks AS (
    -- whenever the shop sold anything, of this category or not
    SELECT DISTINCT week FROM priced_lines WHERE reason = ''
),
spans AS (
    SELECT item, store, min(week) AS first_week, max(week) AS last_week FROM sold GROUP BY item, store
),
grid AS (
    SELECT spans.item, spans.store, weeks.week
    FROM spans
    JOIN weeks ON weeks.week >= spans.first_week AND weeks.week <= spans.last_week
),
laid AS (
    SELECT
        grid.item,
        grid.store,
        grid.week,
        sold.units,
        sold.revenue,
        sold.price AS paid_price,
        coalesce(sold.price, elsewhere.price) AS seen_price,
        sold.list_price,
        sold.unit_cost,
        count(coalesce(sold.price, elsewhere.price)) OVER by_week AS price_run,
        count(sold.list_price) OVER by_week AS list_run,
        count(sold.unit_cost) OVER by_week AS cost_run
    FROM grid
    LEFT JOIN sold ON grid.item = sold.item AND grid.store = sold.store AND grid.week = sold.week
    LEFT JOIN elsewhere ON grid.item = elsewhere.item AND grid.week = elsewhere.week
    WINDOW by_week AS (PARTITION BY grid.item, grid.store ORDER BY grid.week)
),
carried AS (
    SELECT
        *,
        max(seen_price) OVER (PARTITION BY item, store, price_run) AS last_price,
        max(list_price) OVER (PARTITION BY item, store, list_run) AS last_list,
        max(unit_cost) OVER (PARTITION BY item, store, cost_run) AS last_cost,
        max(seen_price) OVER (PARTITION BY item, store ORDER BY week ROWS BETWEEN 8 PRECEDING AND CURRENT ROW)
            AS recent_highest
    FROM laid
),
ruled AS (
    SELECT
        *,
        CASE
            WHEN paid_price IS NOT NULL THEN 'sold'
            WHEN $unsold = 'missing' THEN 'missing'
            WHEN seen_price IS NOT NULL THEN 'other_stores'
            WHEN $unsold = 'regular' THEN 'regular'
            ELSE 'carried'
        END AS price_rule,
        CASE WHEN last_list IS NOT NULL THEN 'list' ELSE 'recent_highest' END AS regular_rule,
        coalesce(last_list, recent_highest, last_price) AS regular
    FROM carried
),
-- who sells what, and from when to when: whose stock an item's whole stock is made of
sellers AS (
    SELECT item, store, sku, store_id AS shop, min(week) AS first_week, max(week) AS last_week
    FROM counted
    GROUP BY item, store, sku, store_id
),
stock_rows AS (
    SELECT
        stock.sku,
        coalesce(named.item, stock.sku) AS item,
        coalesce(stock.store_id, '') AS shop,
        CAST(date_trunc('week', stock.week) AS DATE) AS week,
        stock.week AS day,
        stock.on_hand
    FROM stock
    LEFT JOIN named ON stock.sku = named.sku
    WHERE $period = 'week'
),
begun AS (
    SELECT sku, shop, week, min(day) AS day FROM stock_rows GROUP BY sku, shop, week
),
-- the week begins with the first of its rows; two of that day that differ are a mistake, two that agree are one
counts AS (
    SELECT
        stock_rows.item,
        stock_rows.sku,
        stock_rows.shop,
        stock_rows.week,
        min(stock_rows.on_hand) AS on_hand,
        CASE
            WHEN count(*) > count(stock_rows.on_hand) THEN 'unreadable'
            WHEN min(stock_rows.on_hand) < 0 THEN 'negative'
            WHEN min(stock_rows.on_hand) <> max(stock_rows.on_hand) THEN 'repeated'
            ELSE ''
        END AS fault
    FROM stock_rows
    JOIN begun
        ON stock_rows.sku = begun.sku
        AND stock_rows.shop = begun.shop
        AND stock_rows.week = begun.week
        AND stock_rows.day = begun.day
    GROUP BY stock_rows.item, stock_rows.sku, stock_rows.shop, stock_rows.week
),
stocked AS (
    SELECT
        item,
        CASE WHEN $stores = 'apart' THEN shop ELSE '' END AS store,
        week,
        sum(on_hand) AS on_hand,
        -- the first of the alphabet speaks where there are several
        min(CASE WHEN fault <> '' THEN fault END) AS fault
    FROM counts
    GROUP BY 1, 2, 3
),
stock_weeks AS (
    SELECT DISTINCT item, week FROM counts
),
stocked_skus AS (
    SELECT sku, week, max(CASE WHEN shop = '' THEN 1 ELSE 0 END) AS shared FROM counts GROUP BY sku, week
),
covered AS (
    SELECT
        sellers.item,
        sellers.store,
        stock_weeks.week,
        count(*) AS sellers,
        sum(
            CASE
                WHEN own.sku IS NOT NULL THEN 1
                -- stock that all stores share is the whole of them together, and of none alone
                WHEN $stores = 'apart' THEN 0
                WHEN stocked_skus.shared = 1 THEN 1
                WHEN sellers.shop = '' AND stocked_skus.sku IS NOT NULL THEN 1
                ELSE 0
            END
        ) AS known,
        max(coalesce(stocked_skus.shared, 0)) AS shared
    FROM sellers
    JOIN stock_weeks
        ON sellers.item = stock_weeks.item
        AND stock_weeks.week >= sellers.first_week
        AND stock_weeks.week <= sellers.last_week
    LEFT JOIN counts AS own ON sellers.sku = own.sku AND sellers.shop = own.shop AND stock_weeks.week = own.week
    LEFT JOIN stocked_skus ON sellers.sku = stocked_skus.sku AND stock_weeks.week = stocked_skus.week
    GROUP BY sellers.item, sellers.store, stock_weeks.week
),
counted_stock AS (
    SELECT
        ruled.item,
        ruled.store,
        ruled.week,
        CASE
            WHEN stocked.fault IS NOT NULL THEN stocked.fault
            WHEN stocked.item IS NULL AND covered.shared = 1 THEN 'shared'
            WHEN stocked.item IS NULL THEN 'none'
            WHEN covered.known < covered.sellers THEN 'part'
            ELSE 'known'
        END AS stock_rule,
        CASE
            WHEN stocked.fault IS NULL AND coalesce(covered.known, 0) >= coalesce(covered.sellers, 0)
                THEN stocked.on_hand
        END AS on_hand
    FROM ruled
    LEFT JOIN stocked
        ON ruled.item = stocked.item
        AND ruled.store = stocked.store
        AND ruled.week = stocked.week
    LEFT JOIN covered
        ON ruled.item = covered.item
        AND ruled.store = covered.store
        AND ruled.week = covered.week
),
-- promotions of every category are most of their rows: those of these items are found before anything is made of them
shown_skus AS (
    SELECT named.sku FROM named SEMI JOIN classed ON named.item = classed.item
    UNION
    SELECT item AS sku FROM classed
),
flagged AS (
    SELECT
        coalesce(named.item, promotions.sku) AS item,
        promotions.store_id,
        CAST(date_trunc('week', promotions.week) AS DATE) AS week,
        -- a cost below zero is a mistake: it is not known
        CASE WHEN promotions.promotion_cost >= 0 THEN promotions.promotion_cost END AS promotion_cost,
        lower(trim(coalesce(promotions.display, '0'))) NOT IN ('', '0', 'no', 'false') AS display,
        lower(trim(coalesce(promotions.mailer, '0'))) NOT IN ('', '0', 'no', 'false') AS mailer
    FROM promotions
    SEMI JOIN shown_skus ON promotions.sku = shown_skus.sku
    LEFT JOIN named ON promotions.sku = named.sku
),
costed AS (
    SELECT count(promotion_cost) AS known FROM promotions
),
promoting AS (
    SELECT CAST(date_trunc('week', week) AS DATE) AS week, count(DISTINCT store_id) AS stores
    FROM (SELECT DISTINCT week, store_id FROM promotions) AS weeks_of_stores
    GROUP BY 1
),
shown AS (
    SELECT
        flagged.item,
        CASE WHEN $stores = 'apart' THEN coalesce(flagged.store_id, '') ELSE '' END AS store,
        flagged.week,
        count(DISTINCT CASE WHEN display THEN flagged.store_id END) AS display_stores,
        count(DISTINCT CASE WHEN mailer THEN flagged.store_id END) AS mailer_stores,
        max(CASE WHEN display AND flagged.store_id IS NULL THEN 1 ELSE 0 END) AS display_all,
        max(CASE WHEN mailer AND flagged.store_id IS NULL THEN 1 ELSE 0 END) AS mailer_all,
        CAST(max(flagged.promotion_cost) AS DOUBLE) AS promotion_cost
    FROM flagged
    SEMI JOIN classed ON flagged.item = classed.item
    GROUP BY 1, 2, 3
)
SELECT
    ruled.item,
    ruled.store AS store_id,
    ruled.week,
    CAST(coalesce(ruled.units, 0) AS DOUBLE) AS units,
    CAST(coalesce(ruled.revenue, 0) AS DECIMAL(18, 2)) AS revenue,
    CASE ruled.price_rule
        WHEN 'missing' THEN CAST(NULL AS DOUBLE)
        WHEN 'regular' THEN ruled.regular
        WHEN 'carried' THEN ruled.last_price
        ELSE ruled.seen_price
    END AS price,
    ruled.price_rule,
    ruled.regular AS regular_price,
    ruled.regular_rule,
    CASE ruled.price_rule
        WHEN 'missing' THEN CAST(NULL AS DOUBLE)
        WHEN 'regular' THEN CAST(0 AS DOUBLE)
        WHEN 'carried' THEN 1 - ruled.last_price / nullif(ruled.regular, 0)
        ELSE 1 - ruled.seen_price / nullif(ruled.regular, 0)
    END AS discount,
    CASE ruled.price_rule
        WHEN 'missing' THEN FALSE
        WHEN 'regular' THEN FALSE
        WHEN 'carried' THEN coalesce(1 - ruled.last_price / nullif(ruled.regular, 0) >= $promoted_from, FALSE)
        ELSE coalesce(1 - ruled.seen_price / nullif(ruled.regular, 0) >= $promoted_from, FALSE)
    END AS promoted,
    coalesce(
        greatest(
            CAST(own.display_stores AS DOUBLE) / nullif(CASE WHEN $stores = 'apart' THEN 1 ELSE promoting.stores END, 0),
            CAST(own.display_all AS DOUBLE),
            CAST(anywhere.display_all AS DOUBLE)
        ),
        CAST(own.display_all AS DOUBLE), CAST(anywhere.display_all AS DOUBLE), CAST(0 AS DOUBLE)
    ) AS display,
    coalesce(
        greatest(
            CAST(own.mailer_stores AS DOUBLE) / nullif(CASE WHEN $stores = 'apart' THEN 1 ELSE promoting.stores END, 0),
            CAST(own.mailer_all AS DOUBLE),
            CAST(anywhere.mailer_all AS DOUBLE)
        ),
        CAST(own.mailer_all AS DOUBLE), CAST(anywhere.mailer_all AS DOUBLE), CAST(0 AS DOUBLE)
    ) AS mailer,
    CAST(counted_stock.on_hand AS DOUBLE) AS on_hand,
    coalesce(ruled.units, 0) >= counted_stock.on_hand AS sold_out,
    counted_stock.stock_rule,
    CASE WHEN ruled.last_cost > 0 THEN ruled.last_cost END AS unit_cost,
    CASE WHEN costed.known > 0
        THEN coalesce(own.promotion_cost, anywhere.promotion_cost, CAST(0 AS DOUBLE))
    END AS promotion_cost,
    CAST(
        greatest(date_diff('day', coalesce(launched.launch_week, classed.first_sold), ruled.week), 0) // 7 AS BIGINT
    ) AS age_weeks,
    classed.category_1,
    classed.category_2,
    classed.category_3
FROM ruled
JOIN classed ON ruled.item = classed.item
CROSS JOIN costed
LEFT JOIN launched ON ruled.item = launched.item
LEFT JOIN counted_stock
    ON ruled.item = counted_stock.item
    AND ruled.store = counted_stock.store
    AND ruled.week = counted_stock.week
LEFT JOIN promoting ON CAST(date_trunc('week', ruled.week) AS DATE) = promoting.week
LEFT JOIN shown AS own
    ON ruled.item = own.item
    AND ruled.store = own.store
    AND CAST(date_trunc('week', ruled.week) AS DATE) = own.week
-- rows of the promotions without a store speak of every store
LEFT JOIN shown AS anywhere
    ON ruled.item = anywhere.item
    AND anywhere.store = ''
    AND CAST(date_trunc('week', ruled.week) AS DATE) = anywhere.week
WHERE $unsold <> 'left_out' OR ruled.price_rule = 'sold'
