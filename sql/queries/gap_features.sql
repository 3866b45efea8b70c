-- What the basket of each purchase day says beside its money: distinct products, categories of products (category_1), the
-- category and the channel that most of its money went to, the first by name where two have as much, and that category's
-- share of the money. It joins order_gaps on the day that an interval starts.
-- inputs: judged_order_lines, products
-- output: gap_features
-- grain: customer_id, starts
-- parameters:
WITH categories AS (
    SELECT sku, min(category_1) AS category FROM products GROUP BY sku
),
sold AS (
    SELECT
        judged_order_lines.customer_id,
        judged_order_lines.day AS starts,
        judged_order_lines.sku,
        judged_order_lines.channel,
        categories.category,
        judged_order_lines.revenue_reporting AS money
    FROM judged_order_lines
    LEFT JOIN categories ON judged_order_lines.sku = categories.sku
    WHERE judged_order_lines.is_used AND judged_order_lines.revenue >= 0
),
baskets AS (
    SELECT
        customer_id,
        starts,
        count(DISTINCT sku) AS products,
        count(DISTINCT category) AS categories,
        sum(money) AS money
    FROM sold
    GROUP BY customer_id, starts
),
by_category AS (
    SELECT
        customer_id,
        starts,
        category,
        sum(money) AS money,
        row_number() OVER (PARTITION BY customer_id, starts ORDER BY sum(money) DESC, category) AS place
    FROM sold
    WHERE sold.category IS NOT NULL
    GROUP BY customer_id, starts, category
),
by_channel AS (
    SELECT
        customer_id,
        starts,
        channel,
        row_number() OVER (PARTITION BY customer_id, starts ORDER BY sum(money) DESC, channel) AS place
    FROM sold
    WHERE sold.channel IS NOT NULL
    GROUP BY customer_id, starts, channel
)
SELECT
    baskets.customer_id,
    baskets.starts,
    CAST(baskets.products AS BIGINT) AS products,
    CAST(baskets.categories AS BIGINT) AS categories,
    by_category.category AS main_category,
    CAST(by_category.money AS DOUBLE) / nullif(CAST(baskets.money AS DOUBLE), 0) AS main_category_share,
    by_channel.channel AS main_channel
FROM baskets
LEFT JOIN by_category
    ON baskets.customer_id = by_category.customer_id AND baskets.starts = by_category.starts AND by_category.place = 1
LEFT JOIN by_channel
    ON baskets.customer_id = by_channel.customer_id AND baskets.starts = by_channel.starts AND by_channel.place = 1
