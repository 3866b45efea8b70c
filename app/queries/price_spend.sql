-- What a plan's prices give away, regular price less price times expected units, and how many items' stock is assumed.
-- inputs: markdown_plan
-- output: price_spend
-- grain:
-- parameters: plan VARCHAR
SELECT
  coalesce(sum(CAST(regular_price - price AS DOUBLE) * units), 0.0) AS spend,
  count(DISTINCT item || '@' || store_id) FILTER (WHERE starts_with(stock_rule, 'assumed')) AS assumed
FROM markdown_plan
WHERE plan = $plan AND reason = ''
