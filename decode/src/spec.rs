//! The specification that a contract's WASM carries: where it is, and the functions it tells of.
//!
//! Both come from strangers: nothing is run, and sizes and depths have limits.
use crate::cursor::MAX_DEPTH;
use std::fmt::Write as _;
use stellar_xdr::{Limited, Limits, ReadXdr, ScSpecEntry, ScSpecFunctionV0, ScSpecTypeDef};
use wasmparser::{Encoding, Parser, Payload};

/// The custom section that holds a sequence of `ScSpecEntry`.
const SECTION: &str = "contractspecv0";
/// Bytes that a specification may have.
const MAX_BYTES: usize = 1 << 20;

/// A function by name, with the types of its inputs and of its outputs, as text.
pub type Function = (String, Vec<String>, Vec<String>);

/// The specification in WASM, all sections of it joined; None where there is none, or none that can be read.
pub fn contract_spec(code: &[u8]) -> Option<Vec<u8>> {
    let mut spec: Option<Vec<u8>> = None;
    for payload in Parser::new(0).parse_all(code) {
        match payload.ok()? {
            Payload::CustomSection(section) if section.name() == SECTION => {
                spec.get_or_insert_default().extend_from_slice(section.data());
            }
            Payload::Version { encoding: Encoding::Component, .. } | Payload::UnknownSection { .. } => return None,
            _ => {}
        }
    }
    spec.filter(|spec| spec.len() <= MAX_BYTES)
}

/// The functions in a specification, in its order; an error where it is no sequence of `ScSpecEntry`.
pub fn spec_functions(spec: &[u8]) -> Result<Vec<Function>, String> {
    if spec.len() > MAX_BYTES {
        return Err(format!("a contract's specification has at most {MAX_BYTES} bytes, this one {}", spec.len()));
    }
    let mut left = Limited::new(spec, Limits { depth: MAX_DEPTH, len: MAX_BYTES });
    let mut functions = Vec::new();
    while !left.inner.is_empty() {
        let at = spec.len() - left.inner.len();
        match ScSpecEntry::read_xdr(&mut left) {
            Ok(ScSpecEntry::FunctionV0(found)) => functions.push(function(&found)),
            Ok(_) => {}
            Err(error) => return Err(format!("no ScSpecEntry at byte {at} of {}: {error}", spec.len())),
        }
    }
    Ok(functions)
}

fn function(found: &ScSpecFunctionV0) -> Function {
    let inputs = found.inputs.iter().map(|input| text(&input.type_)).collect();
    (found.name.as_slice().escape_ascii().to_string(), inputs, found.outputs.iter().map(text).collect())
}

fn text(of: &ScSpecTypeDef) -> String {
    let mut out = String::new();
    write_type(&mut out, of);
    out
}

/// Writes into one string on all levels: a string a level would cost their square.
fn write_type(out: &mut String, of: &ScSpecTypeDef) {
    match of {
        ScSpecTypeDef::Option(of) => write_with(out, "option", &[&of.value_type]),
        ScSpecTypeDef::Result(of) => write_with(out, "result", &[&of.ok_type, &of.error_type]),
        ScSpecTypeDef::Vec(of) => write_with(out, "vec", &[&of.element_type]),
        ScSpecTypeDef::Map(of) => write_with(out, "map", &[&of.key_type, &of.value_type]),
        ScSpecTypeDef::Tuple(of) => write_with(out, "tuple", &of.value_types.iter().collect::<Vec<_>>()),
        ScSpecTypeDef::BytesN(of) => {
            let _ = write!(out, "bytes{}", of.n);
        }
        ScSpecTypeDef::Udt(of) => write_name(out, of.name.as_slice()),
        ScSpecTypeDef::Val => out.push_str("val"),
        ScSpecTypeDef::Bool => out.push_str("bool"),
        ScSpecTypeDef::Void => out.push_str("void"),
        ScSpecTypeDef::Error => out.push_str("error"),
        ScSpecTypeDef::U32 => out.push_str("u32"),
        ScSpecTypeDef::I32 => out.push_str("i32"),
        ScSpecTypeDef::U64 => out.push_str("u64"),
        ScSpecTypeDef::I64 => out.push_str("i64"),
        ScSpecTypeDef::Timepoint => out.push_str("timepoint"),
        ScSpecTypeDef::Duration => out.push_str("duration"),
        ScSpecTypeDef::U128 => out.push_str("u128"),
        ScSpecTypeDef::I128 => out.push_str("i128"),
        ScSpecTypeDef::U256 => out.push_str("u256"),
        ScSpecTypeDef::I256 => out.push_str("i256"),
        ScSpecTypeDef::Bytes => out.push_str("bytes"),
        ScSpecTypeDef::String => out.push_str("string"),
        ScSpecTypeDef::Symbol => out.push_str("symbol"),
        ScSpecTypeDef::Address => out.push_str("address"),
        ScSpecTypeDef::MuxedAddress => out.push_str("muxed_address"),
    }
}

fn write_with(out: &mut String, name: &str, of: &[&ScSpecTypeDef]) {
    out.push_str(name);
    out.push('<');
    for (index, of) in of.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_type(out, of);
    }
    out.push('>');
}

/// The name of a type of the contract's own; no built-in begins with a capital, so that all others stand in quotes:
/// nobody gets by with a structure that is called `address`.
fn write_name(out: &mut String, name: &[u8]) {
    let is_capital = name.first().is_some_and(u8::is_ascii_uppercase);
    let is_plain = is_capital && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let quote = if is_plain { "" } else { "\"" };
    let _ = write!(out, "{quote}{}{quote}", name.escape_ascii());
}
