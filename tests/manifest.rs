//! What `Cargo.toml` promises about the Rust that is needed: no dependency may ask for a newer one than we do.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;

use serde_json::Value;

#[test]
fn no_dependency_needs_a_newer_rust_than_ours() {
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let mut newer = Vec::new();
    for package in packages() {
        let needs = package["rust_version"].as_str().unwrap_or("1.0");
        if version(needs) > ours {
            newer.push(format!("{} {} needs {needs}", package["name"], package["version"]));
        }
    }
    assert!(newer.is_empty(), "rust-version is {}, but\n{}", env!("CARGO_PKG_RUST_VERSION"), newer.join("\n"));
}

#[test]
fn versions_compare_as_numbers() {
    assert!(version("1.91") > version("1.9.1"));
    assert_eq!(version("1.91"), version("1.91.0"));
}

fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform"]);
    let output = command.arg(host()).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].take();
    packages.as_array().expect("packages is a list").clone()
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

fn version(text: &str) -> [u32; 3] {
    let mut numbers = [0; 3];
    for (slot, part) in numbers.iter_mut().zip(text.split('.')) {
        *slot = part.parse().expect("a version is made of numbers");
    }
    numbers
}
