-- Ledger values (ScVal, XDR) as people read them. Positions count from 1.

CREATE FUNCTION ledgerfill.xdr_int(xdr bytea, at int4) RETURNS int4
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (get_byte(xdr, at - 1) << 24) | (get_byte(xdr, at) << 16) | (get_byte(xdr, at + 1) << 8) | get_byte(xdr, at + 2)
$$;
COMMENT ON FUNCTION ledgerfill.xdr_int IS 'the four bytes from position `at` as an int';

CREATE FUNCTION ledgerfill.xdr_number(xdr bytea, at int4, words int4, signed bool) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    number numeric := ledgerfill.xdr_int(xdr, at);
BEGIN
    IF NOT signed AND number < 0 THEN
        number := number + 4294967296;
    END IF;
    FOR i IN 1 .. words - 1 LOOP
        number := number * 4294967296 + (ledgerfill.xdr_int(xdr, at + 4 * i)::int8 & 4294967295);
    END LOOP;
    RETURN number;
END $$;
COMMENT ON FUNCTION ledgerfill.xdr_number IS 'so many words of four bytes from position `at` as one big-endian number';

CREATE FUNCTION ledgerfill.scval_size(xdr bytea, at int4) RETURNS int4
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    kind int4;
    word int4;
    size int4;
BEGIN
    IF length(xdr) < at + 3 THEN
        RETURN NULL;
    END IF;
    kind := ledgerfill.xdr_int(xdr, at);
    word := CASE WHEN length(xdr) >= at + 7 THEN ledgerfill.xdr_int(xdr, at + 4) END;
    -- By SCValType; only values without other values in them.
    size := CASE
        WHEN kind = 1 THEN 4
        WHEN kind IN (0, 3, 4) THEN 8
        WHEN kind IN (5, 6, 7, 8) THEN 12
        WHEN kind IN (9, 10) THEN 20
        WHEN kind IN (11, 12) THEN 36
        WHEN kind IN (13, 14, 15) AND word BETWEEN 0 AND 1 << 28 THEN 8 + (word + 3) / 4 * 4
        WHEN kind = 18 AND word BETWEEN 0 AND 4 THEN (ARRAY[44, 40, 48, 44, 40])[word + 1]
    END;
    RETURN CASE WHEN length(xdr) >= at + size - 1 THEN size END;
END $$;
COMMENT ON FUNCTION ledgerfill.scval_size IS 'bytes of the plain ScVal at position `at`; NULL for a nested, an unknown or a cut one';

CREATE FUNCTION ledgerfill.scval_text(xdr bytea, at int4 DEFAULT 1) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF ledgerfill.scval_size(xdr, at) IS NULL THEN
        RETURN '\x' || encode(substr(xdr, at), 'hex');
    END IF;
    CASE ledgerfill.xdr_int(xdr, at)
        WHEN 0 THEN RETURN (ledgerfill.xdr_int(xdr, at + 4) = 1)::text;
        WHEN 1 THEN RETURN 'void';
        WHEN 3 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 1, false)::text;
        WHEN 4 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 1, true)::text;
        WHEN 5, 7, 8 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 2, false)::text;
        WHEN 6 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 2, true)::text;
        WHEN 9 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 4, false)::text;
        WHEN 10 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 4, true)::text;
        WHEN 11 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 8, false)::text;
        WHEN 12 THEN RETURN ledgerfill.xdr_number(xdr, at + 4, 8, true)::text;
        WHEN 13 THEN RETURN '\x' || encode(substr(xdr, at + 8, ledgerfill.xdr_int(xdr, at + 4)), 'hex');
        -- Strangers wrote these bytes: `escape` makes text of whatever they are.
        WHEN 14, 15 THEN RETURN encode(substr(xdr, at + 8, ledgerfill.xdr_int(xdr, at + 4)), 'escape');
        WHEN 18 THEN RETURN ledgerfill.strkey(CASE ledgerfill.xdr_int(xdr, at + 4)
            WHEN 0 THEN '\x30'::bytea || substr(xdr, at + 12, 32)
            WHEN 1 THEN '\x10'::bytea || substr(xdr, at + 8, 32)
            WHEN 2 THEN '\x60'::bytea || substr(xdr, at + 16, 32) || substr(xdr, at + 8, 8)
            WHEN 3 THEN '\x0800'::bytea || substr(xdr, at + 12, 32)
            ELSE '\x58'::bytea || substr(xdr, at + 8, 32)
        END);
    END CASE;
END $$;
COMMENT ON FUNCTION ledgerfill.scval_text IS 'a plain ScVal as text: numbers, symbols, strings, strkeys; anything else as hex to the end of the bytes';

CREATE FUNCTION ledgerfill.topics_text(topics bytea) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    texts text[] := '{}';
    at    int4 := 5;
BEGIN
    WHILE at IS NOT NULL AND at <= length(topics) LOOP
        texts := texts || ledgerfill.scval_text(topics, at);
        at := at + ledgerfill.scval_size(topics, at);
    END LOOP;
    RETURN texts;
END $$;
COMMENT ON FUNCTION ledgerfill.topics_text IS 'topics of an event as text, one each; from a nested value on, the rest as one hex text';

CREATE FUNCTION ledgerfill.first_symbol(topics bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN length(topics) > 12 AND substr(topics, 5, 4) = '\x0000000f' THEN ledgerfill.scval_text(topics, 5) END
$$;
COMMENT ON FUNCTION ledgerfill.first_symbol IS 'the first topic when it is a symbol, as in `transfer`; else NULL';

CREATE FUNCTION ledgerfill.event_amount(data bytea) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN length(data) = 20 AND substr(data, 1, 4) = '\x0000000a' THEN ledgerfill.xdr_number(data, 5, 4, true)
        -- A map whose first entry is `amount`: keys of a map are sorted, so it stands before `to_muxed_id`.
        WHEN length(data) >= 48 AND substr(data, 1, 8) = '\x0000001100000001'
            AND substr(data, 13, 20) = '\x0000000f00000006616d6f756e7400000000000a' THEN ledgerfill.xdr_number(data, 33, 4, true)
    END
$$;
COMMENT ON FUNCTION ledgerfill.event_amount IS 'the i128 that an event''s data is, or that a map holds first as `amount` (CAP-67); else NULL';
