-- Lines in other currencies where no exchange rate is given at all.
-- inputs: daily_money, exchange_rates
-- output: check_results
-- grain: check_name
-- parameters: currency VARCHAR
-- severity: warning
-- message: All lines in these currencies are set aside. Name a file of rates in [exchange_rates], or set
-- shop.currency to the currency of the orders.
SELECT
    CAST(coalesce(sum(lines), 0) AS BIGINT) AS found,
    coalesce(min(currency), '') AS example
FROM daily_money
WHERE currency <> $currency AND NOT EXISTS (SELECT 1 FROM exchange_rates)
