-- Customers who have sent something back: only their sales have to be matched.
-- inputs: judged_order_lines, refund_lines, previous_returnable_sales
-- output: returning_customers
-- grain: customer_id
-- parameters: as_of DATE, refunds VARCHAR
SELECT customer_id FROM refund_lines
UNION
SELECT customer_id FROM previous_returnable_sales WHERE marked_returned > 0
UNION
SELECT customer_id
FROM judged_order_lines
WHERE is_used AND revenue > 0 AND returned_on <= $as_of AND $refunds = 'net'
