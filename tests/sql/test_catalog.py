from regulars.sql.catalog import parse_query


def test_a_header_is_read():
    query = parse_query("n", "-- Counts.\n-- inputs: a, b\n-- output: n\n-- grain: x\n-- parameters:\nSELECT 1;")
    assert (query.meaning, query.inputs, query.output, query.sql) == ("Counts.", ("a", "b"), "n", "SELECT 1")
