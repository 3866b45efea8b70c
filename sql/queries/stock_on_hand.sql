-- The stock that is left of each item on the as-of date: of each SKU and store the count of its last day, less what was
-- sold from that day on, added up over the SKUs of an item, and over stores where these count as one. Counts of up to
-- $days_ahead days after the as-of date are read: of the morning on which a plan starts, say. Counts more than
-- $days_behind days before it are only read where an item has no later one. What a store sold that has no count of its
-- own is taken off the stock that all stores share, if there is any. Returns are not put back.
-- inputs: stock, products, priced_lines
-- output: stock_on_hand
-- grain: item, store_id
-- parameters: as_of DATE, stores VARCHAR default 'together', item_level VARCHAR default 'style_color',
--   days_ahead BIGINT default 1, days_behind BIGINT default 28
WITH named AS (
    SELECT sku, coalesce(min(CASE WHEN $item_level = 'style_color' THEN style_color END), sku) AS item
    FROM products
    GROUP BY sku
),
known AS (
    SELECT
        stock.sku,
        coalesce(named.item, stock.sku) AS item,
        coalesce(stock.store_id, '') AS shop,
        stock.week AS day,
        stock.on_hand
    FROM stock
    LEFT JOIN named ON stock.sku = named.sku
    WHERE stock.week <= CAST($as_of + CAST($days_ahead AS INTEGER) AS DATE) AND stock.on_hand IS NOT NULL
),
newest AS (
    SELECT
        item,
        sku,
        shop,
        max(day) AS day,
        max(max(day)) OVER (PARTITION BY item, CASE WHEN $stores = 'apart' THEN shop ELSE '' END) AS last_day
    FROM known
    GROUP BY item, sku, shop
),
counts AS (
    SELECT known.item, known.sku, known.shop, known.day, min(known.on_hand) AS on_hand
    FROM known
    JOIN newest ON known.sku = newest.sku AND known.shop = newest.shop AND known.day = newest.day
    WHERE
        newest.day >= CAST($as_of - CAST($days_behind AS INTEGER) AS DATE)
        OR newest.last_day < CAST($as_of - CAST($days_behind AS INTEGER) AS DATE)
    GROUP BY known.item, known.sku, known.shop, known.day
),
sales AS (
    SELECT sku, store_id AS shop, day, sum(quantity) AS units
    FROM priced_lines
    -- what left the shelf at a price that is not known has left it, too
    WHERE reason IN ('', 'missing_price', 'no_positive_price', 'missing_exchange_rate')
    GROUP BY sku, store_id, day
),
placed AS (
    SELECT
        sales.sku,
        sales.day,
        sales.units,
        sales.shop,
        CASE WHEN own.sku IS NOT NULL THEN own.shop WHEN shared.sku IS NOT NULL THEN '' END AS taken_from
    FROM sales
    LEFT JOIN counts AS own ON sales.sku = own.sku AND sales.shop = own.shop
    LEFT JOIN counts AS shared ON sales.sku = shared.sku AND shared.shop = ''
),
sold AS (
    SELECT counts.sku, counts.shop, sum(placed.units) AS units
    FROM counts
    JOIN placed ON counts.sku = placed.sku AND counts.shop = placed.taken_from AND placed.day >= counts.day
    GROUP BY counts.sku, counts.shop
),
first_counts AS (
    SELECT item, sku, min(day) AS day FROM counts GROUP BY item, sku
),
nowhere AS (
    -- order lines that do not say from which store they came
    SELECT first_counts.item, sum(placed.units) AS units
    FROM first_counts
    JOIN placed ON first_counts.sku = placed.sku AND placed.day >= first_counts.day
    WHERE placed.taken_from IS NULL AND placed.shop = ''
    GROUP BY first_counts.item
),
added AS (
    SELECT
        counts.item,
        CASE WHEN $stores = 'apart' THEN counts.shop ELSE '' END AS store_id,
        max(counts.day) AS week,
        sum(counts.on_hand) AS counted,
        min(counts.on_hand) AS least,
        sum(coalesce(sold.units, 0)) AS sold,
        sum(greatest(counts.on_hand - coalesce(sold.units, 0), 0)) AS on_hand
    FROM counts
    LEFT JOIN sold ON counts.sku = sold.sku AND counts.shop = sold.shop
    GROUP BY 1, 2
)
SELECT
    added.item,
    added.store_id,
    added.week,
    CAST(added.counted AS DECIMAL(18, 3)) AS counted,
    CAST(added.least AS DECIMAL(18, 3)) AS least,
    CAST(added.sold + coalesce(nowhere.units, 0) AS DECIMAL(18, 3)) AS sold,
    CAST(greatest(added.on_hand - coalesce(nowhere.units, 0), 0) AS DECIMAL(18, 3)) AS on_hand
FROM added
LEFT JOIN nowhere ON added.store_id = '' AND added.item = nowhere.item
