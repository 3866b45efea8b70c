-- Refunds, or parts of them, that no earlier sale of the customer covers.
-- inputs: rejected_order_lines
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: Counted are refund lines of which all or a part has no sale; money_reconciliation counts those without any,
-- for a partly covered one is used. This money is set aside. It is mostly of sales from before the data begin; many of them point to order or
-- product ids that differ between sales and refunds.
SELECT
    CAST(coalesce(sum(lines), 0) AS BIGINT) AS found,
    coalesce(min(CAST(revenue AS VARCHAR) || ' ' || currency || ', ' || coalesce('order ' || order_id || ' on ', 'a line of ') || CAST(CAST(ordered_at AS DATE) AS VARCHAR)), '') AS example
FROM rejected_order_lines
WHERE reason = 'return_without_sale'
