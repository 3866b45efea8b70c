-- Lines whose date could not be read.
-- inputs: rejected_order_lines
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: These lines are set aside. Map orders.columns.ordered_at to an expression that reads their text, such as
-- try_strptime(text, '%d/%m/%Y').
SELECT
    CAST(coalesce(sum(lines), 0) AS BIGINT) AS found,
    coalesce(min(coalesce(ordered_at_text, 'NULL')), '') AS example
FROM rejected_order_lines
WHERE reason = 'unreadable_date'
