//! Events of all shapes that tokens have, and what looks like them and is none, written by the typed encoder.
use super::asset::Assets;
use super::change::Reason;
use super::sep41::{self, Sep41};
use super::sep50::{self, Sep50};
use super::topics::{Name, Topics};
use super::value::{Address, Muxed, Party};
use crate::prove::network_id;
use stellar_xdr::*;

fn xdr(value: impl WriteXdr) -> Vec<u8> {
    value.to_xdr(Limits::none()).expect("memory takes it")
}

fn symbol(text: &str) -> ScVal {
    ScVal::Symbol(ScSymbol(text.try_into().expect("up to 32 letters")))
}

fn string(text: &str) -> ScVal {
    ScVal::String(ScString(text.try_into().expect("short")))
}

fn i128(value: i128) -> ScVal {
    ScVal::I128(Int128Parts { hi: (value >> 64) as i64, lo: value as u64 })
}

fn account(byte: u8) -> ScVal {
    ScVal::Address(ScAddress::Account(AccountId(PublicKey::PublicKeyTypeEd25519(Uint256([byte; 32])))))
}

fn contract(byte: u8) -> ScVal {
    ScVal::Address(ScAddress::Contract(ContractId(Hash([byte; 32]))))
}

fn muxed(byte: u8, id: u64) -> ScVal {
    ScVal::Address(ScAddress::MuxedAccount(MuxedEd25519Account { id, ed25519: Uint256([byte; 32]) }))
}

fn muxed_contract() -> ScVal {
    ScVal::Address(ScAddress::MuxedContract(MuxedContract { id: 7, contract_id: ContractId(Hash([1; 32])) }))
}

fn vec(values: &[ScVal]) -> ScVal {
    ScVal::Vec(Some(ScVec(values.to_vec().try_into().expect("few"))))
}

fn map(fields: &[(&str, ScVal)]) -> ScVal {
    let entries: Vec<_> = fields.iter().map(|(name, val)| ScMapEntry { key: symbol(name), val: val.clone() }).collect();
    ScVal::Map(Some(ScMap(entries.try_into().expect("few"))))
}

/// An event's topics and data, as they stand in a ledger.
struct Given {
    topics: Vec<u8>,
    data: Vec<u8>,
}

fn given(name: &str, topics: &[ScVal], data: ScVal) -> Given {
    let topics: ScVec = ScVec([&[symbol(name)], topics].concat().try_into().expect("few"));
    Given { topics: xdr(topics), data: xdr(data) }
}

impl Given {
    fn topics(&self) -> Topics<'_> {
        Topics::read(&self.topics).expect("a token's name")
    }

    fn sep41(&self) -> Option<Sep41<'_>> {
        sep41::read(&self.topics(), &self.data)
    }

    fn sep50(&self) -> Option<Sep50<'_>> {
        sep50::read(&self.topics(), &self.data)
    }
}

/// The address of a strkey's version and payload.
fn party(version: u8, payload: &[u8]) -> Party<'static> {
    Party { address: Address::new(version, payload), muxed: Muxed::None }
}

fn g(byte: u8) -> Party<'static> {
    party(6 << 3, &[byte; 32])
}

fn moved<'a>(reason: Reason, from: Option<Party<'a>>, to: Option<Party<'a>>, amount: i128) -> Option<Sep41<'a>> {
    Some(Sep41::Moved { reason, from, to, amount })
}

#[test]
fn every_kind_of_address_is_its_strkey() {
    let balance = ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash([3; 32]));
    let cases = [
        (account(1), g(1)),
        (contract(2), party(2 << 3, &[2; 32])),
        (ScVal::Address(ScAddress::ClaimableBalance(balance)), party(1 << 3, &[&[0][..], &[3; 32]].concat())),
        (ScVal::Address(ScAddress::LiquidityPool(PoolId(Hash([4; 32])))), party(11 << 3, &[4; 32])),
        (muxed(5, 77), Party { muxed: Muxed::Id(77), ..g(5) }),
    ];
    for (topic, wanted) in cases {
        let event = given("burn", &[topic], i128(1));
        assert_eq!(event.sep41(), moved(Reason::Burn, Some(wanted), None, 1));
    }
    assert_eq!(given("burn", &[muxed_contract()], i128(1)).sep41(), None, "it has no strkey yet");
}

#[test]
fn an_administrator_may_stand_before_whom_it_is_about() {
    let (admin, one, asset) = (account(9), account(1), string("native"));
    for topics in [vec![one.clone()], vec![admin.clone(), one.clone()]] {
        for topics in [topics.clone(), [topics, vec![asset.clone()]].concat()] {
            let wanted = moved(Reason::Mint, None, Some(g(1)), 5);
            assert_eq!(given("mint", &topics, i128(5)).sep41(), wanted);
            let wanted = moved(Reason::Clawback, Some(g(1)), None, 5);
            assert_eq!(given("clawback", &topics, i128(5)).sep41(), wanted);
            let wanted = Some(Sep41::Authorized { account: g(1), authorized: true });
            assert_eq!(given("set_authorized", &topics, ScVal::Bool(true)).sep41(), wanted);
        }
    }
    assert_eq!(given("burn", &[admin.clone(), one.clone()], i128(5)).sep41(), None, "a burn never had one");
    let new = given("set_admin", &[admin], contract(2));
    assert_eq!(new.sep41(), Some(Sep41::Admin { old: g(9), new: party(2 << 3, &[2; 32]) }));
}

#[test]
fn amounts_are_plain_or_in_a_map_with_an_id_of_three_types() {
    let topics = [account(1), account(2)];
    let ids = [ScVal::U64(7), string("memo"), ScVal::Bytes(ScBytes(vec![1; 32].try_into().expect("short")))];
    for id in ids {
        let event = given("transfer", &topics, map(&[("amount", i128(5)), ("to_muxed_id", id.clone())]));
        let id = xdr(id);
        let to = Party { muxed: Muxed::Value(&id), ..g(2) };
        assert_eq!(event.sep41(), moved(Reason::Transfer, Some(g(1)), Some(to), 5));
    }
    let plain = moved(Reason::Transfer, Some(g(1)), Some(g(2)), i128::MAX);
    let void = map(&[("amount", i128(i128::MAX)), ("to_muxed_id", ScVal::Void)]);
    let more = map(&[("amount", i128(i128::MAX)), ("note", ScVal::Void)]);
    for data in [i128(i128::MAX), map(&[("amount", i128(i128::MAX))]), void, more] {
        assert_eq!(given("transfer", &topics, data).sep41(), plain);
    }
    let both =
        given("transfer", &[account(1), muxed(2, 3)], map(&[("amount", i128(0)), ("to_muxed_id", ScVal::U64(7))]));
    let to = Party { muxed: Muxed::Id(3), ..g(2) };
    assert_eq!(both.sep41(), moved(Reason::Transfer, Some(g(1)), Some(to), 0), "the address says whom it means");
}

#[test]
fn allowances_are_in_a_vector_or_a_map() {
    let (amount, until) = (i128(5), ScVal::U32(u32::MAX));
    let wanted = Some(Sep41::Approved { owner: g(1), spender: g(2), amount: 5, live_until: u32::MAX });
    let shapes = [
        vec(&[amount.clone(), until.clone()]),
        map(&[("amount", amount.clone()), ("live_until_ledger", until.clone())]),
        map(&[("amount", amount.clone()), ("expiration_ledger", until.clone())]),
    ];
    for data in shapes {
        assert_eq!(given("approve", &[account(1), account(2)], data.clone()).sep41(), wanted);
        assert_eq!(given("approve", &[account(1), account(2), string("native")], data).sep41(), wanted);
    }
    let wrong = [
        vec(&[i128(5)]),
        vec(&[amount.clone(), until.clone(), until.clone()]),
        vec(&[i128(-1), until.clone()]),
        vec(&[until.clone(), amount.clone()]),
        map(&[("amount", amount.clone()), ("expiration_ledger", until.clone()), ("live_until_ledger", until.clone())]),
        map(&[("amount", amount.clone())]),
        map(&[("live_until_ledger", until)]),
        ScVal::Vec(None),
        ScVal::Map(None),
        amount,
    ];
    for data in wrong {
        assert_eq!(given("approve", &[account(1), account(2)], data.clone()).sep41(), None, "{data:?}");
    }
}

#[test]
fn what_only_looks_like_a_token_is_none() {
    let (one, two, asset) = (account(1), account(2), string("native"));
    let twice = map(&[("amount", i128(1)), ("amount", i128(2))]);
    let mut odd_key = vec![ScMapEntry { key: symbol("amount"), val: i128(1) }];
    odd_key.push(ScMapEntry { key: string("z"), val: ScVal::Void });
    let odd_key = ScVal::Map(Some(ScMap(odd_key.try_into().expect("two"))));
    let topics = [one.clone(), two.clone()];
    let data = [
        i128(-1),
        i128(i128::MIN),
        ScVal::U64(1),
        ScVal::Void,
        twice,
        odd_key,
        map(&[]),
        map(&[("amount", ScVal::U64(1))]),
        map(&[("amount", i128(1)), ("to_muxed_id", ScVal::U32(1))]),
        vec(&[i128(1)]),
    ];
    for data in data {
        assert_eq!(given("transfer", &topics, data.clone()).sep41(), None, "{data:?}");
    }
    let topics: [&[ScVal]; 8] = [
        &[],
        &[account(1)],
        &[string("native")],
        &[one.clone(), i128(1)],
        &[one.clone(), two.clone(), two.clone()],
        &[one.clone(), two.clone(), asset.clone(), asset.clone()],
        &[asset.clone(), one.clone(), two.clone()],
        &[one.clone(), two.clone(), symbol("native")],
    ];
    for topics in topics {
        assert_eq!(given("transfer", topics, i128(1)).sep41(), None, "{topics:?}");
    }
    assert_eq!(given("set_authorized", &[account(1)], ScVal::U32(1)).sep41(), None);
    assert_eq!(given("set_admin", &[account(1)], muxed_contract()).sep41(), None);
    assert_eq!(given("fee", &[one], i128(1)).sep41(), None, "no operation has fees");
}

#[test]
fn names_are_whole_symbols() {
    for name in ["transfer", "fee", "mint", "burn", "clawback", "approve", "set_authorized", "set_admin"] {
        assert!(sep41::has(given(name, &[], ScVal::Void).topics().name));
    }
    assert_eq!(given("approve_for_all", &[], ScVal::Void).topics().name, Name::ApproveForAll);
    for name in ["", "transfe", "transfers", "Transfer", "consecutive_mint"] {
        assert!(Topics::read(&given(name, &[], ScVal::Void).topics).is_none(), "{name}");
    }
    for first in [string("transfer"), ScVal::Bytes(ScBytes(b"transfer".to_vec().try_into().expect("short")))] {
        let topics = ScVec(vec![first, account(1), account(2)].try_into().expect("three"));
        assert!(Topics::read(&xdr(topics)).is_none());
    }
    assert!(Topics::read(&xdr(ScVec::default())).is_none());
}

#[test]
fn fees_are_signed_and_have_no_asset() {
    let read = |event: &Given| sep41::read_fee(&event.topics(), &event.data).map(|fee| format!("{fee:?}"));
    for (amount, change) in [(100, -100), (-7, 7), (i128::MAX, -i128::MAX)] {
        let wanted = format!("{:?}", Sep41::Fee { payer: g(1), change });
        assert_eq!(read(&given("fee", &[account(1)], i128(amount))), Some(wanted));
    }
    let wrong = [
        given("fee", &[account(1)], i128(i128::MIN)),
        given("fee", &[account(1), string("native")], i128(1)),
        given("fee", &[account(1), account(2)], i128(1)),
        given("fee", &[account(1)], ScVal::U64(1)),
        given("burn", &[account(1)], i128(1)),
    ];
    assert!(wrong.iter().all(|event| read(event).is_none()));
}

#[test]
fn collectibles_have_ids_of_unsigned_integers() {
    let parts = UInt256Parts { hi_hi: u64::MAX, hi_lo: 0, lo_hi: 0, lo_lo: 1 };
    let ids = [ScVal::U32(0), ScVal::U64(1), ScVal::U128(UInt128Parts { hi: 1, lo: 0 }), ScVal::U256(parts)];
    for id in ids {
        let token = xdr(id.clone());
        for data in [id.clone(), map(&[("token_id", id.clone())])] {
            let moved = |reason, from, to| Some(Sep50::Moved { reason, from, to, token: &token });
            let (one, two) = (Some(g(1)), Some(g(2)));
            let event = given("transfer", &[account(1), account(2)], data.clone());
            assert_eq!(event.sep50(), moved(Reason::Transfer, one, two));
            assert_eq!(event.sep41(), None);
            assert_eq!(given("mint", &[account(2)], data.clone()).sep50(), moved(Reason::Mint, None, two));
            assert_eq!(given("burn", &[account(1)], data).sep50(), moved(Reason::Burn, one, None));
        }
    }
    for id in [i128(1), ScVal::I32(1), ScVal::I64(1), string("1"), symbol("a"), ScVal::Void, vec(&[ScVal::U32(1)])] {
        assert_eq!(given("mint", &[account(2)], id.clone()).sep50(), None, "{id:?}");
    }
    assert_eq!(given("mint", &[account(1), account(2)], ScVal::U32(1)).sep50(), None);
    assert_eq!(given("mint", &[account(2), string("native")], ScVal::U32(1)).sep50(), None);
}

#[test]
fn approvals_of_collectibles_have_the_shapes_of_the_standard() {
    let (token, until) = (ScVal::U32(7), ScVal::U32(99));
    let id = xdr(token.clone());
    let wanted = |token| Some(Sep50::Approved { owner: g(1), approved: g(2), token, live_until: 99 });
    let named = |name, value: &ScVal| map(&[(name, value.clone()), ("live_until_ledger", until.clone())]);
    let owner_token = [account(1), token.clone()];
    for data in [vec(&[account(2), until.clone()]), named("approved", &account(2))] {
        assert_eq!(given("approve", &owner_token, data).sep50(), wanted(Some(&id)));
    }
    let owner_approved = [account(1), account(2)];
    for data in [vec(&[token.clone(), until.clone()]), named("token_id", &token)] {
        assert_eq!(given("approve", &owner_approved, data).sep50(), wanted(Some(&id)));
    }
    for data in [vec(&[account(2), until.clone()]), named("operator", &account(2))] {
        assert_eq!(given("approve_for_all", &[account(1)], data).sep50(), wanted(None));
    }
    assert_eq!(given("approve", &[account(1), i128(7)], vec(&[account(2), until.clone()])).sep50(), None);
    assert_eq!(given("approve", &owner_approved, vec(&[i128(7), until.clone()])).sep50(), None);
    assert_eq!(given("approve_for_all", &[account(1)], vec(&[token, until])).sep50(), None);
}

#[test]
fn only_the_contract_of_the_asset_is_proved() {
    let network = network_id("Public Global Stellar Network ; September 2015");
    let id = |asset| {
        let preimage = ContractIdPreimage::Asset(asset);
        let preimage = HashIdPreimageContractId { network_id: Hash(network), contract_id_preimage: preimage };
        <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(xdr(HashIdPreimage::ContractId(preimage))))
    };
    let issuer = AccountId(PublicKey::PublicKeyTypeEd25519(Uint256([7; 32])));
    let usd = AlphaNum4 { asset_code: AssetCode4(*b"USD\0"), issuer: issuer.clone() };
    let long = AlphaNum12 { asset_code: AssetCode12(*b"LONGER\0\0\0\0\0\0"), issuer: issuer.clone() };
    let cases = [
        (id(Asset::Native), "native".to_owned()),
        (id(Asset::CreditAlphanum4(usd)), format!("USD:{issuer}")),
        (id(Asset::CreditAlphanum12(long)), format!("LONGER:{issuer}")),
    ];
    let mut assets = Assets::default();
    assets.on(&network);
    assert_eq!(*assets.native(), cases[0].0);
    for (contract, asset) in &cases {
        assert!(!assets.proves(&[1; 32], asset.as_bytes()));
        assert!(assets.proves(contract, asset.as_bytes()));
        assert!(assets.proves(contract, asset.as_bytes()), "from memory");
        assert!(!assets.proves(contract, b"XLM"));
    }
    let issuer = issuer.to_string();
    let nonsense = ["", ":", "native:", "USD", &format!(":{issuer}"), &format!("USD:{}", &issuer[1..])];
    let longer =
        [format!("THIRTEENCHARS:{issuer}"), format!("USD:{}", issuer.to_lowercase()), format!("USD:S{}", &issuer[1..])];
    for asset in nonsense.into_iter().chain(longer.iter().map(String::as_str)) {
        assert!(!assets.proves(&cases[1].0, asset.as_bytes()), "{asset}");
        assert!(!assets.proves(&[1; 32], asset.as_bytes()), "{asset}");
    }
}
