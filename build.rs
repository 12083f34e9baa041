//! Tells the linker which functions run together, so that they lie together (`benches/order/record`).
//!
//! Written as a linker script, which lld and GNU ld add to their own. Names end in a hash that every change of the code around may change, so
//! the list has patterns.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    const ORDER: &str = "benches/order/functions.txt";
    println!("cargo::rerun-if-changed={ORDER}");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    // It is a list of this processor's names, and only tried with this C library.
    if variable("TARGET") != "x86_64-unknown-linux-gnu" {
        return;
    }
    let Ok(names) = std::fs::read_to_string(Path::new(&variable("CARGO_MANIFEST_DIR")).join(ORDER)) else { return };
    // A section that says where it is loaded begins a segment of its own with lld; GNU ld says nothing to it.
    let mut script = String::from("SECTIONS\n{\n  .text.first :\n  {\n    *(.text.watchd_entry)\n  }\n");
    script += "  .text.together : AT(ADDR(.text.together))\n  {\n";
    for name in names.lines() {
        let _ = writeln!(script, "    *(.text.{name})");
    }
    script += "  }\n}\nINSERT BEFORE .text;\n";
    let path = Path::new(&variable("OUT_DIR")).join("order.ld");
    if std::fs::write(&path, script).is_ok() {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", path.display());
        println!("cargo::rustc-link-arg-bins=-Wl,-e,watchd_entry");
    }
}
