-- What an item sold for and how much of it, week by week.
-- inputs: price_panel
-- output: price_history
-- grain: week
-- parameters: item VARCHAR, store_id VARCHAR
SELECT
  week,
  price,
  price_rule,
  regular_price,
  units,
  promoted,
  on_hand
FROM price_panel
WHERE item = $item AND store_id = $store_id
ORDER BY week
