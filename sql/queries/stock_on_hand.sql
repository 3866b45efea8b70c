-- The last stock that is known of each item up to the as-of date: of each SKU and store the row of its last week, added
-- up over the SKUs of an item, and over stores where these count as one.
-- inputs: stock, products
-- output: stock_on_hand
-- grain: item, store_id
-- parameters: as_of DATE, stores VARCHAR default 'together', item_level VARCHAR default 'style_color'
WITH named AS (
    SELECT sku, coalesce(min(CASE WHEN $item_level = 'style_color' THEN style_color END), sku) AS item
    FROM products
    GROUP BY sku
),
known AS (
    SELECT sku, coalesce(store_id, '') AS store, week, on_hand
    FROM stock
    WHERE week <= $as_of AND on_hand IS NOT NULL
),
newest AS (
    SELECT sku, store, max(week) AS week FROM known GROUP BY sku, store
)
SELECT
    coalesce(named.item, known.sku) AS item,
    CASE WHEN $stores = 'apart' THEN known.store ELSE '' END AS store_id,
    max(known.week) AS week,
    CAST(sum(known.on_hand) AS DECIMAL(18, 3)) AS on_hand,
    min(known.on_hand) AS least
FROM known
JOIN newest ON known.sku = newest.sku AND known.store = newest.store AND known.week = newest.week
LEFT JOIN named ON known.sku = named.sku
GROUP BY 1, 2
