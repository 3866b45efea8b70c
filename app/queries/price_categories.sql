-- The categories of a plan's items.
-- inputs: price_items
-- output: price_categories
-- grain: category
-- parameters: plan VARCHAR
SELECT
  category,
  count(*) AS items
FROM price_items
WHERE plan = $plan AND category IS NOT NULL AND NOT contains(category, ',')
GROUP BY category
ORDER BY category
