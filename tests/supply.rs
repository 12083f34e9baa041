//! What watchd is made of: licences, sources and duplicates as `deny.toml` allows them, the bill of materials, and every place
//! where the compiler's word is not enough.
//!
//! `WATCHD_BLESS=1 cargo test --test supply` writes the bill and the list of places anew; the difference is then there to be read.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Holds a file against what it should be, or writes it.
fn compare(name: &str, wanted: &str) {
    if std::env::var_os("WATCHD_BLESS").is_some() {
        fs::write(root().join(name), wanted).expect("it can be written");
        return;
    }
    let stands = fs::read_to_string(root().join(name)).unwrap_or_default();
    if stands == wanted {
        return;
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (stands.lines().collect(), wanted.lines().collect());
    let gone: String = old.difference(&new).map(|line| format!("- {line}\n")).collect();
    let come: String = new.difference(&old).map(|line| format!("+ {line}\n")).collect();
    panic!("{name} is not what the code says; read this, then WATCHD_BLESS=1 writes it anew:\n{gone}{come}");
}

/// What the shipped target is made of.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn metadata() -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]);
    let output = command.current_dir(root()).output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn rules() -> toml::Table {
    read("deny.toml").parse().expect("deny.toml is TOML")
}

fn words(value: &toml::Value) -> Vec<String> {
    let list = value.as_array().expect("a list");
    list.iter().map(|word| word.as_str().expect("a text").to_owned()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

// ---- licences, sources, duplicates ----

/// Whether a licence expression can be met with these: `AND` binds closer than `OR`, and `/` is an old `OR`.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "-WITH-");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any(&tokens, &mut at, allowed);
    met && at == tokens.len()
}

fn any(tokens: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = all(tokens, at, allowed);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(tokens, at, allowed);
    }
    met
}

fn all(tokens: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = one(tokens, at, allowed);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at, allowed);
    }
    met
}

fn one(tokens: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if *token != "(" {
        return allowed.iter().any(|licence| licence == token);
    }
    let met = any(tokens, at, allowed);
    let is_closed = tokens.get(*at) == Some(&")");
    *at += 1;
    met && is_closed
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0", false),
        ("MIT OR GPL-3.0 AND GPL-2.0", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("", false),
        ("MIT MIT", false),
        ("(MIT", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression:?}");
    }
}

#[test]
fn everything_it_is_made_of_is_allowed() {
    let (rules, metadata) = (rules(), metadata());
    let allowed = words(&rules["licenses"]["allow"]);
    let registries = words(&rules["sources"]["allow-registry"]);
    let skipped = rules["bans"]["skip"].as_array().expect("a list");
    let skipped: BTreeSet<&str> = skipped.iter().map(|skip| skip["crate"].as_str().expect("a name")).collect();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().expect("a list") {
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        versions.entry(name).or_default().push(version);
        if !is_met(text(&package["license"]), &allowed) {
            faults.push(format!("{name} {version}: its licence is {}", package["license"]));
        }
        let source = text(&package["source"]);
        let is_known = registries.iter().any(|registry| source == format!("registry+{registry}"));
        let is_ours = package["source"].is_null() && Path::new(text(&package["manifest_path"])).starts_with(root());
        if !is_known && !is_ours {
            faults.push(format!("{name} {version}: it comes from {}", package["source"]));
        }
        for dependency in package["dependencies"].as_array().expect("a list").iter().filter(|_| is_ours) {
            if text(&dependency["req"]) == "*" && dependency["path"].is_null() {
                faults.push(format!("{name}: any version of {} would do", dependency["name"]));
            }
        }
    }
    for (name, versions) in &versions {
        if (versions.len() > 1) != skipped.contains(name) {
            faults.push(format!("{name}: {versions:?}, and deny.toml says otherwise"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

// ---- the bill of materials ----

/// The packages in the shipped program, by the edges that are neither for builds nor for tests.
fn shipped(metadata: &Value) -> BTreeSet<String> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a list");
    let edges: HashMap<&str, &Value> = nodes.iter().map(|node| (text(&node["id"]), &node["deps"])).collect();
    let mut found = BTreeSet::new();
    let mut next = vec![text(&metadata["resolve"]["root"]).to_owned()];
    while let Some(id) = next.pop() {
        if !found.insert(id.clone()) {
            continue;
        }
        for dependency in edges[id.as_str()].as_array().expect("a list") {
            let mut kinds = dependency["dep_kinds"].as_array().expect("a list").iter();
            if kinds.any(|kind| kind["kind"].is_null()) {
                next.push(text(&dependency["pkg"]).to_owned());
            }
        }
    }
    found
}

/// Name and version to the digest in `Cargo.lock`.
fn digests() -> HashMap<(String, String), String> {
    let lock: toml::Table = read("Cargo.lock").parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("a list");
    let field = |package: &toml::Value, name| package.get(name).and_then(toml::Value::as_str).map(str::to_owned);
    packages
        .iter()
        .filter_map(|package| {
            Some(((field(package, "name")?, field(package, "version")?), field(package, "checksum")?))
        })
        .collect()
}

#[test]
fn the_bill_of_materials_is_that_of_the_program() {
    let metadata = metadata();
    let (ids, digests) = (shipped(&metadata), digests());
    let mut components = Vec::new();
    for package in metadata["packages"].as_array().expect("a list") {
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        if !ids.contains(text(&package["id"])) || name == "watchd" {
            continue;
        }
        let mut component = json!({
            "type": "library",
            "name": name,
            "version": version,
            "licenses": [{ "expression": text(&package["license"]).replace('/', " OR ") }],
        });
        if let Some(digest) = digests.get(&(name.to_owned(), version.to_owned())) {
            component["purl"] = json!(format!("pkg:cargo/{name}@{version}"));
            component["hashes"] = json!([{ "alg": "SHA-256", "content": digest }]);
        }
        components.push(((name.to_owned(), version.to_owned()), component));
    }
    components.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(components.len() > 20, "a program of this size has parts");
    let components: Vec<_> = components.into_iter().map(|(_, component)| component).collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "watchd",
                "version": env!("CARGO_PKG_VERSION"),
                "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
            },
        },
        "components": components,
    });
    let pretty = serde_json::to_string_pretty(&bill).expect("it can be written");
    compare("contrib/sbom.cdx.json", &(pretty + "\n"));
}

// ---- where the compiler's word is not enough ----

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// What a line opens that the compiler does not check; none when it opens nothing.
fn opens(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    let kinds = [
        ("unsafe extern \"C\" {", "declarations"),
        ("unsafe fn ", "function"),
        ("unsafe impl ", "implementation"),
        ("unsafe {", "block"),
    ];
    kinds.into_iter().find(|(sign, _)| code.contains(sign)).map(|(_, kind)| kind)
}

/// The reason that stands above a line: `SAFETY:` in a comment, or the section `# Safety` of what is said about a function.
fn reason(lines: &[&str], place: usize) -> Option<String> {
    let mut words = Vec::new();
    for line in lines[..place].iter().rev() {
        let line = line.trim();
        let said = line.strip_prefix("///").or_else(|| line.strip_prefix("//")).map(str::trim);
        match said {
            Some("# Safety") => return Some(words.into_iter().rev().collect::<Vec<_>>().join(" ")),
            Some(said) => match said.split_once("SAFETY:") {
                Some((_, said)) => {
                    words.push(said.trim().to_owned());
                    return Some(words.into_iter().rev().collect::<Vec<_>>().join(" "));
                }
                None => words.push(said.to_owned()),
            },
            None if line.starts_with("#[") => {}
            // The statement that it is a part of began further up.
            None if words.is_empty() && !line.is_empty() && !line.ends_with([';', '}']) => {}
            None => return None,
        }
    }
    None
}

#[test]
fn every_unsafe_place_is_on_the_list_with_its_reason() {
    let mut files = Vec::new();
    for folder in ["src", "probes"] {
        rust_files(&root().join(folder), &mut files);
    }
    // Tests and benches are not shipped either.
    files.retain(|file| {
        !["tests", "benches"].iter().any(|name| file.components().any(|part| part.as_os_str() == *name))
    });
    files.sort();
    let (mut table, mut count, mut faults) = (String::new(), 0, Vec::new());
    for file in files {
        let name = file.strip_prefix(root()).expect("it was found there").to_string_lossy().into_owned();
        let whole = fs::read_to_string(&file).expect("a source file is text");
        // Tests inside a file are not shipped.
        let shipped = whole.split("#[cfg(test)]").next().unwrap_or_default();
        let lines: Vec<&str> = shipped.lines().collect();
        for (place, line) in lines.iter().enumerate() {
            let Some(kind) = opens(line) else { continue };
            assert!(name.starts_with("src/sys/"), "{name}:{}: only src/sys may", place + 1);
            count += 1;
            let inside = line.find("SAFETY:").map(|at| line[at + 7..].trim().to_owned());
            let why = reason(&lines, place).or(inside).or((kind == "declarations")
                .then(|| "names of the C library or the linker, as those declare them".to_owned()));
            match why.filter(|why| !why.is_empty()) {
                Some(why) => writeln!(table, "| `{name}` | {kind} | {} |", why.replace('|', "\\|")).expect("it grows"),
                None => faults.push(format!("{name}:{}: {line}", place + 1)),
            }
        }
    }
    assert!(faults.is_empty(), "no reason is given:\n{}", faults.join("\n"));
    let head = format!(
        "# Where the compiler's word is not enough\n\n\
         {count} places, all in `src/sys`, each with what it rests on. `tests/supply.rs` compares this list with the code;\n\
         `WATCHD_BLESS=1 cargo test --test supply` writes it anew after a change that was meant.\n\n\
         | file | what | rests on |\n|---|---|---|\n"
    );
    compare("docs/UNSAFE.md", &(head + &table));
}
