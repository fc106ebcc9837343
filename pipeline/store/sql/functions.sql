-- What turns stored bytes into what people read, and back. None of them reads a table.

CREATE FUNCTION ledgerfill.crc16_xmodem(bytes bytea) RETURNS int4
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    crc int4 := 0;
    x   int4;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        x := (crc >> 8) # get_byte(bytes, i);
        x := x # (x >> 4);
        crc := ((crc << 8) # (x << 12) # (x << 5) # x) & 65535;
    END LOOP;
    RETURN crc;
END $$;
COMMENT ON FUNCTION ledgerfill.crc16_xmodem IS 'the checksum of SEP-23: polynomial 0x1021, start 0';

CREATE FUNCTION ledgerfill.is_address(address bytea) RETURNS bool
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    payload int4;
BEGIN
    IF length(address) < 33 THEN
        RETURN false;
    END IF;
    CASE get_byte(address, 0)
        WHEN 6 << 3, 18 << 3, 19 << 3, 23 << 3, 2 << 3, 11 << 3 THEN -- G, S, T, X, C, L
            RETURN length(address) = 33;
        WHEN 12 << 3, 22 << 3 THEN -- M, W (CAP-84): a key and a 64-bit number
            RETURN length(address) = 41;
        WHEN 1 << 3 THEN -- B: version 0 of claimable balance ids
            RETURN length(address) = 34 AND get_byte(address, 1) = 0;
        WHEN 15 << 3 THEN -- P: a key, a length, 1 to 64 bytes, zeros up to a multiple of four
            IF length(address) NOT BETWEEN 41 AND 101 OR substr(address, 34, 3) <> '\x000000' THEN
                RETURN false;
            END IF;
            payload := get_byte(address, 36);
            RETURN payload > 0 AND length(address) = 37 + (payload + 3) / 4 * 4
                AND ltrim(encode(substr(address, 38 + payload), 'hex'), '0') = '';
        ELSE
            RETURN false;
    END CASE;
END $$;
COMMENT ON FUNCTION ledgerfill.is_address IS 'whether these bytes are a version byte of SEP-23 and the payload that it asks for';

CREATE FUNCTION ledgerfill.strkey(address bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    alphabet CONSTANT text := 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    crc   int4;
    bytes bytea;
    bits  int8;
    key   text := '';
BEGIN
    IF NOT ledgerfill.is_address(address) THEN
        RAISE invalid_parameter_value USING MESSAGE = format(
            'no address: %s bytes that begin with %s', length(address), coalesce(encode(substr(address, 1, 1), 'hex'), 'none'));
    END IF;
    crc := ledgerfill.crc16_xmodem(address);
    -- The checksum is little-endian; four zeros fill the last group of five bytes.
    bytes := address || set_byte(set_byte('\x000000000000', 0, crc & 255), 1, crc >> 8);
    FOR i IN 0 .. (length(address) + 1) / 5 LOOP
        bits := ('x' || encode(substr(bytes, i * 5 + 1, 5), 'hex'))::bit(40)::int8;
        key := key || substr(alphabet, (bits >> 35)::int4 + 1, 1) || substr(alphabet, (bits >> 30 & 31)::int4 + 1, 1)
            || substr(alphabet, (bits >> 25 & 31)::int4 + 1, 1) || substr(alphabet, (bits >> 20 & 31)::int4 + 1, 1)
            || substr(alphabet, (bits >> 15 & 31)::int4 + 1, 1) || substr(alphabet, (bits >> 10 & 31)::int4 + 1, 1)
            || substr(alphabet, (bits >> 5 & 31)::int4 + 1, 1) || substr(alphabet, (bits & 31)::int4 + 1, 1);
    END LOOP;
    RETURN left(key, ((length(address) + 2) * 8 + 4) / 5);
END $$;
COMMENT ON FUNCTION ledgerfill.strkey IS 'address (version byte, payload) to strkey (SEP-23); an error for bytes that are no address';

CREATE FUNCTION ledgerfill.unstrkey(strkey text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    alphabet CONSTANT text := 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    size    int4 := length(strkey) * 5 / 8;
    padded  text := rpad(strkey, (length(strkey) + 7) / 8 * 8, 'A');
    bits    int8;
    bytes   bytea := '';
    address bytea;
BEGIN
    IF strkey ~ '^[A-Z2-7]{56,165}$' THEN
        FOR i IN 0 .. length(padded) / 8 - 1 LOOP
            bits := 0;
            FOR j IN 1 .. 8 LOOP
                bits := bits << 5 | strpos(alphabet, substr(padded, i * 8 + j, 1)) - 1;
            END LOOP;
            bytes := bytes || decode(lpad(to_hex(bits), 10, '0'), 'hex');
        END LOOP;
        address := substr(bytes, 1, size - 2);
        -- Written back it must be the same text: that holds for checksum, length and unused bits at once.
        IF ledgerfill.is_address(address) AND ledgerfill.strkey(address) = strkey THEN
            RETURN address;
        END IF;
    END IF;
    RAISE invalid_parameter_value USING MESSAGE = format('no strkey: %L', left(strkey, 200));
END $$;
COMMENT ON FUNCTION ledgerfill.unstrkey IS 'strkey (SEP-23) to address; an error for a wrong checksum, length, kind or spelling';

CREATE FUNCTION ledgerfill.account_strkey(account bytea, muxed_id numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ledgerfill.strkey(CASE WHEN muxed_id IS NULL THEN account ELSE
        '\x60'::bytea || substr(account, 2) || int8send((CASE WHEN muxed_id < 2::numeric ^ 63 THEN muxed_id ELSE muxed_id - 2::numeric ^ 64 END)::int8)
    END)
$$;
COMMENT ON FUNCTION ledgerfill.account_strkey IS 'G… of an account, M… where there is a muxed id';

CREATE FUNCTION ledgerfill.operation_name(type int2) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce((ARRAY[
        'create_account', 'payment', 'path_payment_strict_receive', 'manage_sell_offer', 'create_passive_sell_offer',
        'set_options', 'change_trust', 'allow_trust', 'account_merge', 'inflation', 'manage_data', 'bump_sequence',
        'manage_buy_offer', 'path_payment_strict_send', 'create_claimable_balance', 'claim_claimable_balance',
        'begin_sponsoring_future_reserves', 'end_sponsoring_future_reserves', 'revoke_sponsorship', 'clawback',
        'clawback_claimable_balance', 'set_trust_line_flags', 'liquidity_pool_deposit', 'liquidity_pool_withdraw',
        'invoke_host_function', 'extend_footprint_ttl', 'restore_footprint'])[type + 1], type::text)
$$;
COMMENT ON FUNCTION ledgerfill.operation_name IS 'OperationType in words; the number where it has none';

CREATE FUNCTION ledgerfill.result_name(code int2) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce((ARRAY[
        'fee_bump_inner_success', 'success', 'failed', 'too_early', 'too_late', 'missing_operation', 'bad_seq', 'bad_auth',
        'insufficient_balance', 'no_account', 'insufficient_fee', 'bad_auth_extra', 'internal_error', 'not_supported',
        'fee_bump_inner_failed', 'bad_sponsorship', 'bad_min_seq_age_or_gap', 'malformed', 'soroban_invalid',
        'frozen_key_accessed'])[2 - code], code::text)
$$;
COMMENT ON FUNCTION ledgerfill.result_name IS 'TransactionResultCode in words; the number where it has none';
