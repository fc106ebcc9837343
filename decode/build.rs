//! Generates one skip function a type from the schema that the stellar-xdr crate ships as data.
//!
//! A skip function moves a cursor past one value, checks all that a typed decoder checks, and keeps nothing.
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::{env, fs, path::PathBuf, process::Command};

/// Everything that a walk meets is reachable from here.
const ROOTS: [&str; 4] = ["LedgerCloseMetaBatch", "InvokeHostFunctionSuccessPreImage", "SCSpecEntry", "BucketEntry"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let path = schema_path();
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).expect("read the schema of stellar-xdr");
    let json: Value = serde_json::from_str(&text).expect("the schema is JSON");
    let schema = Schema::new(json["definitions"].as_array().expect("a list of definitions"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("skip.rs");
    fs::write(out, schema.generate()).expect("write the generated code");
}

/// The schema lies in the crate's folder; only cargo knows where that is.
fn schema_path() -> PathBuf {
    let cargo = env::var("CARGO").expect("cargo sets CARGO");
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .expect("run cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package = packages.iter().find(|p| p["name"] == "stellar-xdr").expect("stellar-xdr is a dev-dependency");
    PathBuf::from(text(package, "manifest_path")).with_file_name("xdr-definitions-json").join("xdr.json")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The definitions by name, with what was found out about each.
struct Schema<'a> {
    types: BTreeMap<&'a str, &'a Value>,
    /// Fewest bytes a value takes.
    least: BTreeMap<&'a str, usize>,
    /// Types that can hold themselves: their depth is counted.
    recursive: BTreeSet<&'a str>,
}

impl<'a> Schema<'a> {
    fn new(definitions: &'a [Value]) -> Self {
        let all: BTreeMap<_, _> = definitions.iter().map(|d| (text(d, "name"), d)).collect();
        let reached = reachable(&all, &ROOTS);
        let types: BTreeMap<_, _> = all.into_iter().filter(|(name, _)| reached.contains(name)).collect();
        let recursive =
            types.keys().copied().filter(|name| reachable(&types, &references(types[name])).contains(name)).collect();
        let mut schema = Schema { types, least: BTreeMap::new(), recursive };
        schema.measure();
        schema
    }

    /// Repeats until nothing shrinks: a recursive type gets its size from its arms that end.
    fn measure(&mut self) {
        loop {
            let names: Vec<_> = self.types.keys().copied().collect();
            let next: BTreeMap<_, _> = names.iter().map(|name| (*name, self.least_of(self.types[name]))).collect();
            if next == self.least {
                return;
            }
            self.least = next;
        }
    }

    fn least_of(&self, definition: &Value) -> usize {
        match text(definition, "kind") {
            "enum" => 4,
            "typedef" => self.least_bytes(&definition["type"]),
            "struct" => fields(definition).map(|t| self.least_bytes(t)).fold(0, usize::saturating_add),
            "union" => {
                let least = arms(definition).map(|arm| self.arm_type(arm).map_or(0, |t| self.least_bytes(t))).min();
                least.expect("a union has arms").saturating_add(4)
            }
            kind => panic!("a definition of kind {kind}"),
        }
    }

    fn least_bytes(&self, of: &Value) -> usize {
        match text(of, "kind") {
            "ref" => self.least.get(text(of, "name")).copied().unwrap_or(usize::MAX),
            "hyper" | "unsigned_hyper" => 8,
            "opaque_fixed" => number(of, "size").next_multiple_of(4),
            "array" => self.least_bytes(&of["element"]).saturating_mul(number(of, "count")),
            _ => 4,
        }
    }

    fn arm_type<'b>(&self, arm: &'b Value) -> Option<&'b Value> {
        arm.get("type").filter(|t| !t.is_null())
    }

    /// Bytes of a type that has a fixed size and nothing in it to check.
    fn plain(&self, of: &Value) -> Option<usize> {
        match text(of, "kind") {
            "int" | "unsigned_int" => Some(4),
            "hyper" | "unsigned_hyper" => Some(8),
            "opaque_fixed" => Some(number(of, "size")).filter(|size| size % 4 == 0),
            "array" => self.plain(&of["element"]).map(|size| size * number(of, "count")),
            "ref" => self.plain_definition(self.types[text(of, "name")]),
            _ => None,
        }
    }

    fn plain_definition(&self, definition: &Value) -> Option<usize> {
        match text(definition, "kind") {
            "typedef" => self.plain(&definition["type"]),
            "struct" => fields(definition).map(|t| self.plain(t)).sum(),
            _ => None,
        }
    }

    fn generate(&self) -> String {
        let mut out = String::from("/// Fewest bytes that a value of each type takes.\npub mod least {\n");
        for name in self.types.keys() {
            let _ = writeln!(out, "pub const {}: usize = {};", snake(name).to_uppercase(), self.least[name]);
        }
        out.push_str("}\n");
        for (name, definition) in &self.types {
            let body = self.body(name, definition);
            let inline =
                if body.lines().count() <= 6 && !self.recursive.contains(name) { "#[inline(always)]\n" } else { "" };
            let _ =
                writeln!(out, "/// Skips one `{name}`.\n{inline}pub fn {}(c: &mut Cursor) -> Checked {{", snake(name));
            if self.recursive.contains(name) {
                let _ = writeln!(out, "c.enter()?;\n{body}c.leave();\nOk(())\n}}");
            } else {
                let _ = writeln!(out, "{body}Ok(())\n}}");
            }
        }
        out
    }

    fn body(&self, name: &str, definition: &Value) -> String {
        match text(definition, "kind") {
            "typedef" => self.statements([&definition["type"]]),
            "struct" => self.statements(fields(definition)),
            "enum" => enumeration(name, definition),
            "union" => self.union(name, definition),
            kind => panic!("a definition of kind {kind}"),
        }
    }

    /// Fields in a row; neighbours that need no check are skipped in one step.
    fn statements<'b>(&self, types: impl IntoIterator<Item = &'b Value>) -> String {
        let (mut out, mut run) = (String::new(), 0);
        for of in types {
            match self.plain(of) {
                Some(size) => run += size,
                None => {
                    flush(&mut out, &mut run);
                    out.push_str(&self.statement(of));
                }
            }
        }
        flush(&mut out, &mut run);
        out
    }

    fn statement(&self, of: &Value) -> String {
        if let Some(size) = self.plain(of) {
            return format!("c.skip({size})?;\n");
        }
        match text(of, "kind") {
            "bool" => "c.boolean()?;\n".into(),
            "ref" => format!("{}(c)?;\n", snake(text(of, "name"))),
            "optional" => format!("if c.optional()? {{\n{}}}\n", self.statement(&of["element"])),
            "opaque_fixed" => format!("c.padded({})?;\n", number(of, "size")),
            "opaque_var" | "string" => format!("c.opaque({})?;\n", most(of, "max_size")),
            "array" => format!("for _ in 0..{} {{\n{}}}\n", number(of, "count"), self.statement(&of["element"])),
            "var_array" => self.array(of),
            kind => panic!("a type of kind {kind}"),
        }
    }

    fn array(&self, of: &Value) -> String {
        let (element, most) = (&of["element"], most(of, "max_count"));
        if let Some(size) = self.plain(element) {
            return format!("c.plain_array({most}, {size})?;\n");
        }
        let least = self.least_bytes(element);
        format!("for _ in 0..c.count({most}, {least})? {{\n{}}}\n", self.statement(element))
    }

    fn union(&self, name: &str, definition: &Value) -> String {
        let mut out = String::from("let at = c.at();\nmatch c.int()? {\n");
        let mut values = Vec::new();
        for arm in arms(definition) {
            let cases: Vec<i64> = arm["cases"].as_array().expect("cases").iter().map(value).collect();
            let body = self.arm_type(arm).map_or(String::new(), |t| self.statement(t));
            let _ = writeln!(out, "{} => {{\n{body}}}", pattern(&cases));
            values.extend(cases);
        }
        let discriminant = &definition["discriminant"]["type"];
        let what = match text(discriminant, "kind") {
            "int" => format!("{name} version {}", listed(values)),
            _ => format!("{name} with {} {}", text(discriminant, "name"), listed(values)),
        };
        let _ = writeln!(out, "found => return c.refuse_value(at, {what:?}, found),\n}}");
        out
    }
}

fn flush(out: &mut String, run: &mut usize) {
    if *run > 0 {
        let _ = writeln!(out, "c.skip({run})?;");
    }
    *run = 0;
}

fn enumeration(name: &str, definition: &Value) -> String {
    let values: Vec<i64> = definition["members"].as_array().expect("members").iter().map(value).collect();
    let pattern = pattern(&values);
    let what = format!("{name} {}", listed(values));
    format!(
        "let at = c.at();\nmatch c.int()? {{\n{pattern} => {{}}\nfound => return c.refuse_value(at, {what:?}, found),\n}}\n"
    )
}

/// The values as a pattern; neighbours become a range.
fn pattern(values: &[i64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b);
    let parts: Vec<_> = runs
        .map(|run| match run {
            [one] => one.to_string(),
            _ => format!("{}..={}", run[0], run[run.len() - 1]),
        })
        .collect();
    parts.join(" | ")
}

/// `0 to 4`, or `0, 1, 5` where there are holes, for people.
fn listed(mut values: Vec<i64>) -> String {
    values.sort_unstable();
    let (first, last) = (values[0], values[values.len() - 1]);
    if values.len() > 1 && last - first == values.len() as i64 - 1 {
        return format!("{first} to {last}");
    }
    values.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

fn value(member: &Value) -> i64 {
    member["value"].as_i64().expect("a number")
}

fn number(of: &Value, key: &str) -> usize {
    of[key].as_u64().unwrap_or_else(|| panic!("no {key} in {of}")) as usize
}

fn most(of: &Value, key: &str) -> u32 {
    of.get(key).and_then(Value::as_u64).map_or(u32::MAX, |n| n as u32)
}

fn fields(definition: &Value) -> impl Iterator<Item = &Value> {
    definition["fields"].as_array().expect("fields").iter().map(|field| &field["type"])
}

fn arms(definition: &Value) -> impl Iterator<Item = &Value> {
    definition["arms"].as_array().expect("arms").iter()
}

/// Names of the types that a definition refers to, its own enum discriminant left out.
fn references(definition: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let types: Vec<&Value> = match text(definition, "kind") {
        "typedef" => vec![&definition["type"]],
        "struct" => fields(definition).collect(),
        "union" => arms(definition).filter_map(|arm| arm.get("type")).collect(),
        _ => vec![],
    };
    for mut of in types {
        while of.get("element").is_some() {
            of = &of["element"];
        }
        if of["kind"] == "ref" {
            found.push(text(of, "name"));
        }
    }
    found
}

fn reachable<'a>(types: &BTreeMap<&'a str, &'a Value>, from: &[&'a str]) -> BTreeSet<&'a str> {
    let (mut seen, mut todo) = (BTreeSet::new(), from.to_vec());
    while let Some(name) = todo.pop() {
        if seen.insert(name) {
            todo.extend(references(types[name]));
        }
    }
    seen
}

/// `SCVal` to `sc_val`, `LedgerCloseMetaV1` to `ledger_close_meta_v1`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let next_is_lower = letters.get(i + 1).is_some_and(|c| c.is_ascii_lowercase());
        let starts_word = i > 0 && (!letters[i - 1].is_ascii_uppercase() || next_is_lower);
        if letter.is_ascii_uppercase() && starts_word {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
